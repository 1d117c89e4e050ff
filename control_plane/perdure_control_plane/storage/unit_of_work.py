"""One transaction: what a use case's body is given."""

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Final, cast

from sqlalchemy.dialects import registry
from sqlalchemy.engine import Connection, Dialect

from perdure_control_plane.domain.admission import Batch
from perdure_control_plane.storage.api_keys import ApiKeys
from perdure_control_plane.storage.approval_changes import ApprovalChanges
from perdure_control_plane.storage.approvals import Approvals, ApprovalStatements
from perdure_control_plane.storage.audit import Audit, AuditStatements
from perdure_control_plane.storage.audit_chain import AuditChain
from perdure_control_plane.storage.children import Children
from perdure_control_plane.storage.copies import Copy, CopyStatements
from perdure_control_plane.storage.executors import Executors, ExecutorStatements
from perdure_control_plane.storage.flows import Flows, FlowStatements
from perdure_control_plane.storage.heads import HeadCache
from perdure_control_plane.storage.inbox import Inbox
from perdure_control_plane.storage.journal import Appended, Journal
from perdure_control_plane.storage.log_rows import LogRows
from perdure_control_plane.storage.payloads import Payloads, PayloadStatements
from perdure_control_plane.storage.places import Places
from perdure_control_plane.storage.playbooks import Playbooks, PlaybookStatements
from perdure_control_plane.storage.policies import Policies
from perdure_control_plane.storage.postgres_log_rows import PostgresLogRows, PostgresLogStatements
from perdure_control_plane.storage.projection_statements import ProjectionStatements
from perdure_control_plane.storage.projections import Projections
from perdure_control_plane.storage.queue import Queue, QueueStatements
from perdure_control_plane.storage.queue_limits import QueueRows
from perdure_control_plane.storage.ready_runs import ReadyRuns, ReadyStatements
from perdure_control_plane.storage.requests import Requests, RequestStatements
from perdure_control_plane.storage.retention import Retention
from perdure_control_plane.storage.run_events import RunEvents, RunEventStatements
from perdure_control_plane.storage.run_log import RunLog
from perdure_control_plane.storage.run_messages import RunMessages
from perdure_control_plane.storage.runs import Runs, RunStatements
from perdure_control_plane.storage.schedules import Firings, Schedules
from perdure_control_plane.storage.sessions import Sessions, SessionStatements
from perdure_control_plane.storage.snapshots import Snapshots
from perdure_control_plane.storage.sqlite_log_rows import SqliteLogRows
from perdure_control_plane.storage.statements import DriverConnection, LazyConnection
from perdure_control_plane.storage.tasks import Tasks
from perdure_control_plane.storage.upkeep import Upkeep
from perdure_control_plane.storage.webhooks import WebhookDeliveries, WebhookSpool


def statements_of(dialect: Dialect) -> "Statements":
    """The statements for a dialect, which this process compiles once, however many stores it opens."""
    return _compiled(f"{dialect.name}.{dialect.driver}")


@cache
def _compiled(dialect_name: str) -> "Statements":
    return Statements(registry.load(dialect_name)())


class Statements:
    """Every statement that is compiled once, for one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self.runs: Final = RunStatements(dialect)
        self.events: Final = RunEventStatements(dialect)
        self.payloads: Final = PayloadStatements(dialect)
        self.projections: Final = ProjectionStatements(dialect)
        self.ready: Final = ReadyStatements(dialect)
        self.queue: Final = QueueStatements(dialect)
        self.executors: Final = ExecutorStatements(dialect)
        self.copies: Final = CopyStatements(dialect)
        self.playbooks: Final = PlaybookStatements(dialect)
        self.flows: Final = FlowStatements(dialect)
        self.sessions: Final = SessionStatements(dialect)
        self.approvals: Final = ApprovalStatements(dialect)
        self.requests: Final = RequestStatements(dialect)
        self.audit: Final = AuditStatements(dialect)
        carried = (self.runs.unassign, self.runs.dequeue, self.projections.lose_tasks)
        self._postgres = PostgresLogStatements(dialect, *carried) if dialect.name == "postgresql" else None

    def log_rows(self, driver: DriverConnection, runs: Runs) -> LogRows:
        """The rows of runs and logs, as this database is best asked for many of them."""
        if self._postgres is None:
            return SqliteLogRows(driver, runs, self.events, self.flows, self.audit)
        return PostgresLogRows(cast("LazyConnection", driver), self._postgres)


class SqlTransaction:
    """The store inside one transaction. `now` is the store's clock at its beginning, in microseconds since 1970."""

    def __init__(
        self,
        connection: Connection,
        driver: DriverConnection,
        statements: Statements,
        heads: HeadCache,
        now: int,
        is_of_the_store: Callable[[Exception], bool],
    ) -> None:
        """`is_of_the_store` tells errors that say something about the store from those of whoever uses it."""
        self._is_of_the_store = is_of_the_store
        self._heads = heads
        self.now: Final = now
        self.connection: Final = connection
        self._driver = driver
        self._statements = statements
        self.projections: Final = Projections(statements.projections, statements.payloads)
        self.runs: Final = Runs(connection, driver, statements.runs)
        rows = statements.log_rows(driver, self.runs)
        self.log: Final = RunLog(driver, self.runs, rows, self.projections, heads, now)
        self.journal: Final = Journal(driver, self.runs, rows, self.projections, heads)

    # The journal of every commit needs what stands above; most commits need nothing of the rest.

    def append(self, batches: Sequence[Batch]) -> Appended:
        """Appends holders' batches, and begins the runs that they start. Raises whatever the driver raises.

        Raises StoreUnavailable where the store went back, until its leases are void: what holders rely on may be missing.
        """
        if not self._heads.copy_is_known:
            self.copy.check_is_the_same()
            self._heads.copy_is_known = True
        if not any(batch.starts_children for batch in batches):
            return self.journal.append(batches, self.now)
        children = Children(self.connection, self.events, self.playbooks, self.sessions, self.log)
        checked = children.checked(batches)
        appended = self.journal.append(checked, self.now)
        children.begin(checked, self.now)
        return appended

    @cached_property
    def messages(self) -> RunMessages:
        """What runs have to tell each other."""
        return RunMessages(self.connection)

    @cached_property
    def payloads(self) -> Payloads:
        """What is kept apart of large events."""
        return Payloads(self.connection)

    @cached_property
    def events(self) -> RunEvents:
        """The log's events."""
        return RunEvents(self.connection, self._driver, self._statements.events, self.payloads)

    @cached_property
    def policies(self) -> Policies:
        """What is demanded of playbooks."""
        return Policies(self.connection)

    @cached_property
    def places(self) -> Places:
        """Places of runs among those of one key."""
        return Places(self.connection, self._driver)

    @cached_property
    def queues(self) -> QueueRows:
        """Queues and their limits."""
        return QueueRows(self.connection)

    @cached_property
    def ready(self) -> ReadyRuns:
        """Ready runs, for those who could do them."""
        return ReadyRuns(self.connection, self._driver, self._statements.ready, self.runs)

    @cached_property
    def queue(self) -> Queue:
        """Who was handed which run, and where others stand."""
        return Queue(self.connection, self._driver, self._statements.queue)

    @cached_property
    def executors(self) -> Executors:
        """Executors and their leases."""
        return Executors(self.connection, self._driver, self._statements.executors)

    @cached_property
    def playbooks(self) -> Playbooks:
        """Playbooks, their versions and plans."""
        return Playbooks(self.connection, self._driver, self._statements.playbooks)

    @cached_property
    def flows(self) -> Flows:
        """Flows."""
        return Flows(self.connection, cast("LazyConnection", self._driver), self._statements.flows)

    @cached_property
    def sessions(self) -> Sessions:
        """Sessions."""
        return Sessions(self.connection, self._driver, self._statements.sessions)

    @cached_property
    def approvals(self) -> Approvals:
        """Approvals."""
        return Approvals(self.connection, self._driver, self._statements.approvals)

    @cached_property
    def approval_changes(self) -> ApprovalChanges:
        """What happens to approvals."""
        return ApprovalChanges(self.connection)

    @cached_property
    def webhook_spool(self) -> WebhookSpool:
        """What webhooks are to be told, for whoever sends it."""
        return WebhookSpool(self.connection)

    @cached_property
    def webhook_deliveries(self) -> WebhookDeliveries:
        """The same, for people."""
        return WebhookDeliveries(self.connection)

    @cached_property
    def inbox(self) -> Inbox:
        """What runs wait for, and what has arrived."""
        return Inbox(self.connection)

    @cached_property
    def schedules(self) -> Schedules:
        """Schedules."""
        return Schedules(self.connection)

    @cached_property
    def firings(self) -> Firings:
        """What became of their times."""
        return Firings(self.connection)

    @cached_property
    def tasks(self) -> Tasks:
        """Tasks."""
        return Tasks(self.connection)

    @cached_property
    def snapshots(self) -> Snapshots:
        """Snapshots of long runs."""
        return Snapshots(self.connection)

    @cached_property
    def requests(self) -> Requests:
        """Request ids that were used."""
        return Requests(self.connection, self._driver, self._statements.requests, self.now)

    @cached_property
    def audit(self) -> Audit:
        """What was done, and by whom."""
        return Audit(self.connection, self._driver, self._statements.audit, self.now)

    @cached_property
    def chain(self) -> AuditChain:
        """The chain of it."""
        return AuditChain(self.connection)

    @cached_property
    def keys(self) -> ApiKeys:
        """Keys of callers."""
        return ApiKeys(self.connection)

    @cached_property
    def copy(self) -> Copy:
        """This copy of the data, and its mark."""
        return Copy(self.connection, self._driver, self._statements.copies)

    @cached_property
    def upkeep(self) -> Upkeep:
        """Turns of what servers do every so often, and outages."""
        return Upkeep(self.connection)

    @cached_property
    def retention(self) -> Retention:
        """Flows that ended long ago."""
        return Retention(self.connection, self.payloads)

    def apart(self, part: Callable[[], None]) -> Exception | None:
        """Does part of a body under a savepoint of its own, and returns what it raised; then only that part is undone.

        Raises what says that the store cannot write, or is damaged: that is no fault of this part.
        """
        noted = len(self.log.changed)
        self._driver.execute("SAVEPOINT part", ())
        try:
            part()
        except Exception as error:  # returned to the caller, which says whose fault it is
            if self._is_of_the_store(error):
                raise
            self._driver.execute("ROLLBACK TO part", ())
            self._driver.execute("RELEASE part", ())
            del self.log.changed[noted:]
            return error
        self._driver.execute("RELEASE part", ())
        return None

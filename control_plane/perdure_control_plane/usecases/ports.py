"""The store as use cases see it. `storage` provides it; its methods say what they do and raise."""

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol, TypeVar

from perdure_control_plane.domain.admission import Answer, Batch
from perdure_control_plane.usecases.rows.audit import AuditRows, ChainRows
from perdure_control_plane.usecases.rows.definitions import (
    FiringRows,
    FlowRows,
    PlaybookRows,
    PolicyRows,
    ScheduleRows,
    SessionRows,
)
from perdure_control_plane.usecases.rows.identity import ApiKeyRows
from perdure_control_plane.usecases.rows.runs import (
    AllRuns,
    ApprovalChangeRows,
    ApprovalRows,
    EventReader,
    InboxRows,
    Log,
    MessageRows,
    SnapshotRows,
    TaskRows,
)
from perdure_control_plane.usecases.rows.upkeep import CopyRows, RequestRows, RetentionRows, UpkeepRows
from perdure_control_plane.usecases.rows.webhooks import WebhookDeliveryRows, WebhookSpoolRows
from perdure_control_plane.usecases.rows.work import ExecutorRows, PlaceRows, QueueRows, ReadyRows, WorkQueue

T = TypeVar("T")


class Order(Enum):
    """Where a body stands among all others that write."""

    ALONE = auto()
    """As if none ran beside it: it may run several times."""
    FIRST = auto()
    """The same, and before what waits: for renewals of leases."""
    GUARDED = auto()
    """In no order with others, for its own statements lock or repeat whatever they rely on; where it locks rows it waits for
    them. For what is done often, and for what must get through to a run whose holder writes to it all the time."""
    READS_FIRST = auto()
    """Guarded, and what it reads need not be read in the transaction that it writes in."""


class Transaction(Protocol):
    """The store inside one transaction."""

    @property
    def now(self) -> int:
        """The store's clock at its beginning, in microseconds since 1970."""

    @property
    def runs(self) -> AllRuns: ...
    @property
    def events(self) -> EventReader: ...
    @property
    def log(self) -> Log: ...
    @property
    def ready(self) -> ReadyRows: ...
    @property
    def places(self) -> PlaceRows: ...
    @property
    def policies(self) -> PolicyRows: ...
    @property
    def queues(self) -> QueueRows: ...
    @property
    def queue(self) -> WorkQueue: ...
    @property
    def executors(self) -> ExecutorRows: ...
    @property
    def playbooks(self) -> PlaybookRows: ...
    @property
    def flows(self) -> FlowRows: ...
    @property
    def sessions(self) -> SessionRows: ...
    @property
    def approvals(self) -> ApprovalRows: ...
    @property
    def approval_changes(self) -> ApprovalChangeRows: ...
    @property
    def webhook_spool(self) -> WebhookSpoolRows: ...
    @property
    def webhook_deliveries(self) -> WebhookDeliveryRows: ...
    @property
    def inbox(self) -> InboxRows: ...
    @property
    def schedules(self) -> ScheduleRows: ...
    @property
    def firings(self) -> FiringRows: ...
    @property
    def messages(self) -> MessageRows: ...
    @property
    def tasks(self) -> TaskRows: ...
    @property
    def snapshots(self) -> SnapshotRows: ...
    @property
    def requests(self) -> RequestRows: ...
    @property
    def audit(self) -> AuditRows: ...
    @property
    def keys(self) -> ApiKeyRows: ...
    @property
    def chain(self) -> ChainRows: ...
    @property
    def copy(self) -> CopyRows: ...
    @property
    def upkeep(self) -> UpkeepRows: ...
    @property
    def retention(self) -> RetentionRows: ...

    def apart(self, part: Callable[[], None]) -> Exception | None:
        """Does part of a body; what it raised is returned, and then only that part is undone.

        Raises what says that the store cannot write.
        """


class Store(Protocol):
    """Where everything is kept."""

    async def read(self, body: Callable[[Transaction], T]) -> T:
        """Runs a body on one snapshot."""

    async def write(self, body: Callable[[Transaction], T], order: Order = Order.ALONE) -> T:
        """Runs a body in a transaction and returns after its commit. Raises StoreUnavailable, and what the body raises."""

    def append(self, batch: Batch, reply: Callable[[Answer], None]) -> None:
        """Submits a holder's batch; `reply` is called after the commit."""

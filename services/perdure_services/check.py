"""`perdure-server check`: whether a store's logs follow their own rules, and its tables their logs."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import Final

from perdure.cli.exit_codes import ExitCode
from perdure.cli.printing.formats import Format
from perdure.cli.verdicts import Examined, print_verdicts
from perdure.cli.witness_files import NOBODY, Witnesses
from perdure.runlog.checker import LogChecker, Violation
from perdure.runlog.head import IllegalEvent
from perdure.runlog.plans import WalkPlan, read_plan
from perdure.runlog.rules import Rule
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.api.messages.runs import run as run_message
from perdure_control_plane.domain.errors import DataCorrupt, NotFound
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.run import Run
from perdure_control_plane.manifests.document import read
from perdure_control_plane.manifests.values import DocumentUnreadable
from perdure_control_plane.storage.offline_reading import offline_reading
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.storage.rebuilding import Rebuilder, Rebuilding, count_events, run_ids
from perdure_control_plane.storage.unaudited import compare_with_audit
from perdure_control_plane.storage.unit_of_work import SqlTransaction
from perdure_control_plane.usecases.fold_run import stored_events
from perdure_services.chain_check import check_chain, tell_chain
from perdure_services.progress import Progress
from perdure_services.refolding import Refolding
from perdure_services.settings import ControlPlaneSettings
from perdure_services.unpurged import tell_unpurged

COMPARED_AT_ONCE: Final = 100
"""Runs whose tables are compared together."""


def check(settings: ControlPlaneSettings, witnesses: Witnesses, output: Format) -> int:
    """Prints what is wrong with a store, and returns the exit code: 1 where a rule or its audit trail is broken.

    Reads one snapshot, so servers may run meanwhile. Raises StoreBroken, SchemaUnknown.
    """
    database = settings.database.get_secret_value()
    if database:
        looked = asyncio.run(
            PostgresStore(database).inspect(
                lambda tx: (examine(tx, witnesses), tx.retention.unpurged(), check_chain(tx))
            )
        )
    else:
        with offline_reading(settings.data_dir) as transaction:
            looked = examine(transaction, witnesses), transaction.retention.unpurged(), check_chain(transaction)
    examined, unpurged, chain = looked
    print_verdicts(examined, output)
    tell_unpurged(unpurged)
    tell_chain(chain)
    return ExitCode.FAILURE if examined.violations or chain.faults else ExitCode.OK


def examine(transaction: SqlTransaction, witnesses: Witnesses = NOBODY) -> Examined:
    """Checks every log of a store, every table that follows from logs, and both against witnesses."""
    return _StoreCheck(transaction, witnesses).run()


class _StoreCheck:
    """Looks at every run of a store, one after the other: memory does not grow with them, but for what witnesses need."""

    def __init__(self, transaction: SqlTransaction, witnesses: Witnesses) -> None:
        self._tx = transaction
        self._witnesses = witnesses
        self._examined = Examined()
        self._rebuilder = Rebuilder(transaction.connection)
        self._progress = Progress(count_events(transaction.connection))
        self._plans: dict[bytes, WalkPlan] = {}
        self._witnessed: dict[str, LogChecker] = {}

    def run(self) -> Examined:
        """Everything that was found."""
        runs = run_ids(self._tx.connection)
        try:
            while group := list(islice(runs, COMPARED_AT_ONCE)):
                self._compare([run_id for run_id in group if self._check_run(run_id)])
        finally:
            self._rebuilder.close()
        self._examined.add(*_bent_manifests(self._tx))
        compared = compare_with_audit(self._tx.connection)
        self._examined.add(*(Violation(Rule.AUDITED, one.run_id, 0, one.message) for one in compared.found))
        self._examined.not_audited = compared.too_old
        self._examined.relate(at_rest=not self._tx.messages.targets(1))
        self._witnesses.compare(self._witnessed, self._examined, whole=True)
        return self._examined

    def _check_run(self, run_id: RunId) -> bool:
        """Whether the run's log could be folded, so that its tables can be compared with it."""
        rebuilding = self._rebuilder.rebuild(run_id)
        found, taken, whole = list[Violation](), 0, False
        try:
            run = self._tx.runs.get(run_id)
            checker = LogChecker(run_id, self._plan(run), run.identity.plan_digest)
            refolding = Refolding(self._tx.snapshots.find(run_id))
            for recorded, stored in stored_events(self._tx, run_id):
                checker.take(recorded)
                _rebuild(rebuilding, recorded)
                taken += 1
                found += refolding.faults_at(checker, recorded, stored)
            checker.finish(run_message(run))
            found += checker.violations
            whole = checker.head.last_sequence == taken
            if whole:
                self._examined.tree.add(checker)
            if self._witnesses.any:
                self._witnessed[run_id] = checker
        except NotFound:
            found.append(Violation(Rule.PROJECTION, run_id, 0, "there is a log, or a row beside it, and no run row"))
        except DataCorrupt as error:
            found.append(Violation(Rule.READABLE, run_id, error.sequence, str(error)))
        except IllegalEvent as error:
            found += [*checker.violations] or [Violation(Rule.TRANSITION, run_id, taken + 1, str(error))]
        except ValueError as error:
            found.append(Violation(Rule.DIGEST, run_id, 0, str(error)))
        rebuilding.finish()
        self._examined.add(*found)
        self._examined.finished(taken, whole=whole)
        self._progress.say(self._examined)
        return whole

    def _plan(self, run: Run) -> WalkPlan:
        digest = run.identity.plan_digest
        if digest not in self._plans:
            self._plans[digest] = read_plan(self._tx.playbooks.plan(digest), digest)
        return self._plans[digest]

    def _compare(self, run_ids: list[RunId]) -> None:
        differences = self._rebuilder.differences(run_ids)
        self._examined.add(*(Violation(Rule.PROJECTION, one.run_id, 0, str(one)) for one in differences))


def _bent_manifests(tx: SqlTransaction) -> Iterator[Violation]:
    for name, digest, text in tx.playbooks.documents():
        try:
            found = read(text).digest
        except DocumentUnreadable:
            found = ""
        if found != digest:
            yield Violation(Rule.DIGEST, "", 0, f"{name}: its manifest does not have the digest {digest}")


def _rebuild(rebuilding: Rebuilding, recorded: RecordedEvent) -> None:
    lease_id = recorded.holder.lease_id if recorded.HasField("holder") else None
    rebuilding.take(recorded.event, recorded.stored_time.ToMicroseconds(), lease_id)

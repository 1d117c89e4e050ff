"""Keeps what a fenced executor says about work it had begun."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from perdure.runlog.instances import Instance, instance
from perdure.runlog.walk import Walk
from perdure.v1 import fact_events_pb2
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent
from perdure_control_plane.domain.errors import RunStateForbids
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.origin import reported_by
from perdure_control_plane.usecases.fold_run import fold_next, new_walk, whole_log
from perdure_control_plane.usecases.ports import Order, Store, Transaction


@dataclass(frozen=True, slots=True)
class Report:
    """Which attempt of which run, and what the executor says."""

    run_id: RunId
    instance: Instance
    said: fact_events_pb2.LateReported


class Reception(StrEnum):
    """What became of a report."""

    STORED = "STORED"
    NOTHING_NEW = "NOTHING_NEW"
    """It was stored before, or is of no work that the log knows."""
    TOO_EARLY = "TOO_EARLY"
    """Its lease still stands; what it says belongs into the run's events, or into a later report."""


async def record_late_report(store: Store, executor_id: str, report: Report) -> Reception:
    """Stores a report once per execution, and only for work that the log knows to have begun under that lease.

    It settles nothing. Where an operator had answered the doubt and the work has not begun again, the answer is void.
    Raises DataCorrupt, VersionUnsupported, StoreUnavailable.
    """
    known = _Known(report)

    def body(tx: Transaction) -> Reception:
        run = tx.runs.lock(report.run_id)
        if (received := known.read_on(tx)) is not None:  # the run's new holder has gone on meanwhile
            return received
        said = fact_events_pb2.LateReported()
        said.CopyFrom(report.said)
        said.reopens_doubt = known.reopens_doubt
        recorded = fact_events_pb2.FactRecorded(instance=report.instance.message(), late_report=said)
        tx.log.append(run, [RunEvent(fact_recorded=recorded)], reported_by(executor_id))
        return Reception.STORED

    found = await store.read(known.read_on)
    return found if found is not None else await store.write(body, Order.GUARDED)


@dataclass(slots=True)
class _Known:
    """What a run's log says about the work of a report, as far as it has been read."""

    report: Report
    sequence: int = 0
    begun: bool = False
    stored: bool = False
    walk: Walk | None = None

    def read_on(self, tx: Transaction) -> Reception | None:
        """Reads what has come since; gives what became of the report where there is nothing to store."""
        run = tx.runs.find(self.report.run_id)
        if run is None:
            return Reception.NOTHING_NEW
        if run.head.lease_id == self.report.said.lease_id:
            return Reception.TOO_EARLY
        events = whole_log(tx, run.run_id, self.sequence)
        self._look_for_the_work(events)
        if self.stored or not self.begun:
            return Reception.NOTHING_NEW
        if self.walk is None:
            self.walk = new_walk(tx, run)
        for recorded in events:
            try:
                fold_next(self.walk, recorded)
            except RunStateForbids:
                return Reception.NOTHING_NEW  # nobody goes on with such a run, whatever became of its work
            self.sequence = recorded.sequence
        return None

    def _look_for_the_work(self, events: Iterable[RecordedEvent]) -> None:
        lease_id, place = self.report.said.lease_id, self.report.instance
        for recorded in events:
            event = recorded.event
            match event.WhichOneof("kind"):
                case "node_started" if recorded.holder.lease_id == lease_id:
                    self.begun = self.begun or instance(event.node_started.instance) == place
                case "fact_recorded" if event.fact_recorded.HasField("late_report"):
                    same = event.fact_recorded.late_report.lease_id == lease_id
                    self.stored = self.stored or (same and instance(event.fact_recorded.instance) == place)

    @property
    def reopens_doubt(self) -> bool:
        """Whether an operator has answered the doubt about the work, and it has not begun again."""
        doubt = self.walk.doubts.get(self.report.instance) if self.walk is not None else None
        return doubt is not None and doubt.resolution_sequence > 0

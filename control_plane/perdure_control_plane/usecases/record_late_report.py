"""Keeps what a fenced executor says about work it had begun."""

from dataclasses import dataclass
from enum import StrEnum

from perdure.runlog.instances import Instance, instance
from perdure.v1 import fact_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.origin import reported_by
from perdure_control_plane.usecases.fold_run import FoldedRun, fold, whole_log
from perdure_control_plane.usecases.ports import Store, Transaction


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
    """

    def body(tx: Transaction) -> Reception:
        run = tx.runs.find(report.run_id)
        if run is not None and run.head.lease_id == report.said.lease_id:
            return Reception.TOO_EARLY
        if run is None or not _is_new(tx, report):
            return Reception.NOTHING_NEW
        said = fact_events_pb2.LateReported()
        said.CopyFrom(report.said)
        said.reopens_doubt = _reopens(fold(tx, report.run_id), report)
        recorded = fact_events_pb2.FactRecorded(instance=report.instance.message(), late_report=said)
        tx.log.append(run, [RunEvent(fact_recorded=recorded)], reported_by(executor_id))
        return Reception.STORED

    return await store.write(body)


def _is_new(tx: Transaction, report: Report) -> bool:
    begun = False
    for recorded in whole_log(tx, report.run_id):
        event = recorded.event
        match event.WhichOneof("kind"):
            case "node_started" if recorded.holder.lease_id == report.said.lease_id:
                begun = begun or instance(event.node_started.instance) == report.instance
            case "fact_recorded" if event.fact_recorded.HasField("late_report"):
                same_lease = event.fact_recorded.late_report.lease_id == report.said.lease_id
                if same_lease and instance(event.fact_recorded.instance) == report.instance:
                    return False
    return begun


def _reopens(folded: FoldedRun, report: Report) -> bool:
    doubt = folded.walk.doubts.get(report.instance)
    return doubt is not None and doubt.resolution_sequence > 0

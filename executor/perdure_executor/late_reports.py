"""What a fenced executor can still say of guarded work that it had begun."""

from collections.abc import Iterable

from perdure.runlog.effects import GUARDED
from perdure.v1 import execution_pb2, fact_events_pb2, instances_pb2, node_events_pb2
from perdure_executor.event_stream import EventStream


def late_reports(stream: EventStream) -> list[execution_pb2.LateReport]:
    """Takes from a run's events what became of guarded work, where the log does not know of it."""
    unknown = stream.drop_from(stream.acknowledged + 1)
    settled = [pending.event.node_settled for pending in unknown if pending.kind == "node_settled"]
    return [_report(stream, one) for one in settled if one.effect in GUARDED and not one.resolution_sequence]


class OwedReports:
    """Reports that no server has taken yet, under the numbers by which it says that it has."""

    def __init__(self) -> None:
        self._reports: dict[int, execution_pb2.LateReport] = {}
        self._last_number = 0

    def __bool__(self) -> bool:
        return bool(self._reports)

    def add(self, reports: Iterable[execution_pb2.LateReport]) -> None:
        """Numbers reports and keeps them."""
        for report in reports:
            self._last_number += 1
            report.number = self._last_number
            self._reports[report.number] = report

    def taken(self, numbers: Iterable[int]) -> None:
        """The server has these."""
        for number in numbers:
            self._reports.pop(number, None)

    def forget(self) -> None:
        """Nobody is to be told."""
        self._reports.clear()

    def put(self, request: execution_pb2.WorkRequest) -> None:
        """Puts all of them into a request."""
        del request.late_reports[:]
        request.late_reports.extend(self._reports.values())


def _report(stream: EventStream, settled: node_events_pb2.NodeSettled) -> execution_pb2.LateReport:
    if settled.outcome == instances_pb2.OUTCOME_ASKED:
        settled.outcome, settled.cause = instances_pb2.OUTCOME_STOPPED, instances_pb2.FAILURE_CAUSE_STOPPED
        settled.message = "it was about to ask a person"
    said = fact_events_pb2.LateReported(
        lease_id=stream.lease_id,
        outcome=settled.outcome,
        cause=settled.cause,
        message=settled.message,
        task=settled.task if settled.HasField("task") else None,
    )
    return execution_pb2.LateReport(run_id=stream.run_id, instance=settled.instance, report=said)

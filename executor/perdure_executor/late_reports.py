"""What a fenced executor can still say of guarded work that it had begun."""

from perdure.runlog.effects import GUARDED
from perdure.v1 import execution_pb2, fact_events_pb2, node_events_pb2
from perdure_executor.event_stream import EventStream


def late_reports(stream: EventStream) -> list[execution_pb2.LateReport]:
    """Takes from a run's events what became of guarded work, where the log does not know of it."""
    unknown = stream.drop_from(stream.acknowledged + 1)
    settled = [pending.event.node_settled for pending in unknown if pending.kind == "node_settled"]
    return [_report(stream, one) for one in settled if one.effect in GUARDED and not one.resolution_sequence]


def _report(stream: EventStream, settled: node_events_pb2.NodeSettled) -> execution_pb2.LateReport:
    said = fact_events_pb2.LateReported(
        lease_id=stream.lease_id,
        outcome=settled.outcome,
        cause=settled.cause,
        message=settled.message,
        task=settled.task if settled.HasField("task") else None,
    )
    return execution_pb2.LateReport(run_id=stream.run_id, instance=settled.instance, report=said)

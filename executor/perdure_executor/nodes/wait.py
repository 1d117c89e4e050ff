"""Waits: a time or a signal, for which the control plane watches while nobody holds the run."""

from perdure.runlog.moments import NotAMoment, moment
from perdure.v1 import fact_events_pb2, instances_pb2
from perdure_executor.expressions import render_text
from perdure_executor.node_context import Ask, NodeContext, Prepared
from perdure_executor.results import Failed


def prepare(context: NodeContext) -> Prepared:
    """Says what is waited for, and for how long."""
    spec = context.node.wait
    wait = fact_events_pb2.WaitOpened(instance=context.instance.message())
    match spec.WhichOneof("until"):
        case "duration":
            wait.timer.SetInParent()
            wait.timeout.CopyFrom(spec.duration)
        case "until_time":
            wait.timer.until_time.CopyFrom(spec.until_time)
        case "until_text":
            try:
                wait.timer.until_time.FromDatetime(moment(render_text(spec.until_text, context.see())))
            except NotAMoment as error:
                return Failed(instances_pb2.FAILURE_CAUSE_EXPRESSION, f"until: {error}")
        case _:
            wait.signal.name = spec.signal
            if spec.HasField("expiry"):
                wait.timeout.CopyFrom(spec.expiry)
    return Ask(b"", wait)

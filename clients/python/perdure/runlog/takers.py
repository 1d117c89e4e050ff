"""What takes the failure of a node that has failed for good: an edge, or a handler of the playbook."""

from dataclasses import dataclass
from typing import TypeAlias

from perdure.v1 import instances_pb2, plans_pb2

Cause: TypeAlias = "instances_pb2.FailureCause.ValueType"


@dataclass(frozen=True, slots=True)
class Taker:
    """One of them, for one node. Without a `target` it ends the run, or goes on as if the node had succeeded."""

    on: plans_pb2.Failures
    target: str = ""
    """Node id that the walk goes on with."""
    handler: int = 0
    """Index of the plan's error handler plus one; 0 for an edge."""
    action: plans_pb2.ErrorHandler | None = None

    @property
    def excuses(self) -> bool:
        """Whether the walk goes on as if the node had succeeded."""
        return self.action is not None and self.action.HasField("output")

    def takes(self, *causes: Cause) -> bool:
        """Whether it is for a failure with any of these causes: the attempt's own, and that of a limit."""
        rejected = instances_pb2.FAILURE_CAUSE_APPROVAL_REJECTED
        if self.excuses and rejected in causes:
            return False  # nothing leads on past a person's no as if it were a yes
        return (self.on.any and rejected not in causes) or any(cause in self.on.causes for cause in causes)


def takers(plan: plans_pb2.Plan) -> dict[str, list[Taker]]:
    """By node id, in the order in which they are asked: edges first, then handlers."""
    found: dict[str, list[Taker]] = {}
    for edge in plan.edges:
        if edge.HasField("on"):
            found.setdefault(edge.source, []).append(Taker(edge.on, edge.target))
    for number, handler in enumerate(plan.error_handlers, 1):
        taker = Taker(handler.on, handler.go_to, number, handler)
        for node in handler.nodes:
            found.setdefault(node, []).append(taker)
    return found

"""The way of a walk: the nodes of its plan that it has come to, or may still come to."""

from dataclasses import dataclass, field

from perdure.runlog.plans import WalkPlan
from perdure.v1.run_events_pb2 import RunEvent


@dataclass(slots=True)
class Way:
    """Follows what is chosen in one run."""

    plan: WalkPlan | None = None
    """None where nobody has read it."""
    chosen: dict[str, str] = field(default_factory=dict)
    """Which node each of some has gone on with, where its steps are guarded."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """In the order of a walk, without those that no way leads to any more; none where the plan is not known."""
        if self.plan is None:
            return ()
        over = self.plan.passed_over(self.chosen) if self.chosen or self.plan.takers else ()
        return tuple(node for node in self.plan.order if node not in over)

    def tell(self, event: RunEvent) -> None:
        """Takes in the next event of the run's log."""
        if event.choice_made.target:
            self.chosen[event.choice_made.instance.path[-1].node] = event.choice_made.target
        if event.failure_taken.target:
            self.chosen[event.failure_taken.instance.path[-1].node] = event.failure_taken.target
        for node in event.jump_begun.region:
            self.chosen.pop(node, None)

"""Failures that the plan takes, while the holder works: what is taken back, and what stays."""

from typing import Any

from perdure.runlog.plans import WalkPlan
from perdure.v1 import plans_pb2
from tests.unit.executor.walked import HOLD, Walked, done, raises, until


async def test_a_failure_that_was_taken_stays_taken_when_a_hold_came_between(plans: Any) -> None:
    nodes = [plans.node(name, function=plans_pb2.FunctionNode(function=name)) for name in ("a", "b", "mend")]
    edges = [
        plans_pb2.PlanEdge(source="a", target="b"),
        plans_pb2.PlanEdge(source="a", target="mend", on=plans_pb2.Failures(any=True)),
    ]
    plan = WalkPlan(plans_pb2.Plan(nodes=nodes, edges=edges, jump_limit=10))
    walked = Walked(plan, {"a": raises, "b": done, "mend": done})
    await until(lambda: len(walked.called) == 2)
    walked.outside(**HOLD)

    answers = await walked.settle()

    assert "Behind" in answers
    assert walked.called == ["a", "mend"]
    assert walked.kinds().count("failure_taken") == 1
    assert walked.kinds()[-1] == "run_paused"
    assert walked.violations() == []

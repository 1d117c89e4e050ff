"""Nodes that are over as soon as they begin: what is behind them does not run ahead of their beginning."""

import asyncio
from typing import Any

from perdure.v1 import fact_events_pb2, instances_pb2, plans_pb2
from tests.unit.executor.walked import HOLD, Walked, done

SIGNAL = fact_events_pb2.FactRecorded(signal=fact_events_pb2.Signal(name="paid"))


async def test_nothing_rests_on_a_wait_for_a_signal_that_had_come_before_it_was_opened(plans: Any) -> None:
    wait = plans.node("wait", wait=plans_pb2.WaitNode(signal="paid"))

    await _meets_a_hold(plans, wait, fact_recorded=SIGNAL)


async def test_nothing_rests_on_a_map_over_nothing_before_it_has_begun(plans: Any) -> None:
    over = plans_pb2.MapNode(items="[]", node=_node(plans, "each"), max_parallel=2, tolerated_failures=0)

    await _meets_a_hold(plans, plans.node("each", map=over))


def _node(plans: Any, name: str, **fields: Any) -> plans_pb2.PlanNode:
    node: plans_pb2.PlanNode = plans.node(name, function=plans_pb2.FunctionNode(function=name), **fields)
    return node


async def _meets_a_hold(plans: Any, at_once: plans_pb2.PlanNode, **come_before: Any) -> None:
    """The start of `pay` is taken back, and all that was decided after it."""
    pay = _node(plans, "pay", effect=instances_pb2.EFFECT_AT_MOST_ONCE)
    first = _node(plans, "first")
    behind = [(first.id, pay.id), (first.id, at_once.id), (at_once.id, "behind")]
    plan = plans.graph([first, pay, at_once, _node(plans, "behind")], behind)
    walked = Walked(plan, {"first": done, "pay": done, "behind": done})
    if come_before:
        walked.outside(**come_before)
        walked.deliver()
    for _ in range(20):  # as far ahead as it runs
        await asyncio.sleep(0)
    walked.outside(**HOLD)

    await walked.settle()

    assert walked.called == ["first"]
    assert walked.kinds()[-1] == "run_paused"
    assert walked.violations() == []

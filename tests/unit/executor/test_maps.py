"""Maps that an executor goes over: the list, what each item sees, and what is taken back."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from perdure.runlog.walk import Walk
from perdure.v1 import instances_pb2, plans_pb2, run_events_pb2, run_states_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor.settlements import bounded
from tests.unit.executor.walked import HOLD, RELEASE, Walked

AT_MOST_ONCE = instances_pb2.EFFECT_AT_MOST_ONCE
WALKED = Callable[..., Walked]


@pytest.fixture
def mapped(plans: Any) -> Callable[..., Walked]:
    """Walks a node that gives a list, and then a map over it whose items call `work`."""

    def begin(
        given: object, work: Any, *, items: str = "given", max_parallel: int = 2, shards: bool = False, **inside: Any
    ) -> Walked:
        async def give(call: Any) -> Any:
            return {"given": given}

        seen = json.dumps({"item": "{{ item }}", "index": "{{ item_index }}", "last": "{{ last_error }}"}).encode()
        fields = {"inputs": seen, **inside}
        item = plans.node("fan", function=plans_pb2.FunctionNode(function="work"), **fields)
        over = plans_pb2.MapNode(items=items, node=item, max_parallel=max_parallel, tolerated_failures=0)
        if shards:
            over.shard.CopyFrom(plans_pb2.PartNode(node=item, plan_digest=b"p" * 32))
        plan = plans.line(
            plans.node("give", function=plans_pb2.FunctionNode(function="give")), plans.node("fan", map=over)
        )
        plan.message.playbook_id = "mapped"
        return Walked(plan, {"give": give, "work": work})

    return begin


async def square(call: Any) -> Any:
    await asyncio.sleep(0)
    return {"square": call.inputs["item"] ** 2, "index": call.inputs["index"]}


def events(walked: Walked, kind: str) -> list[Any]:
    return [getattr(kept.event, kind) for kept in walked.log if kept.event.HasField(kind)]


def causes(walked: Walked) -> list[str]:
    return [
        f"{settled.instance.path[-1].node} {instances_pb2.FailureCause.Name(settled.cause)[14:]}: {settled.message}"
        for settled in events(walked, "node_settled")
        if settled.cause
    ]


async def test_each_item_sees_itself_and_its_place_in_the_list(mapped: WALKED) -> None:
    walked = mapped([5, 6, 7], square)

    await walked.settle()

    assert walked.kinds()[-1] == "run_ended"
    assert walked.violations() == []
    squares = [{"square": 25, "index": 0}, {"square": 36, "index": 1}, {"square": 49, "index": 2}]
    assert json.loads(events(walked, "node_output")[-1].json) == {"results": squares, "errors": []}
    assert json.loads(events(walked, "map_items")[0].json) == [5, 6, 7]


@pytest.mark.parametrize(
    ("given", "items", "told"),
    [
        ("abc", "given", "fan ITEMS_INVALID: items must be a list, and is a text"),
        ([0] * 101, "given", "fan ITEMS_INVALID: it is over 101 items; the limit is 100"),
        (1, "nothing", "fan EXPRESSION: 'nothing': "),
        ("x" * 600_000, "[given, given]", "fan PAYLOAD_TOO_LARGE: the list has 1200007 bytes; the limit is 1048576"),
    ],
    ids=["no list", "too many", "no such name", "too large"],
)
async def test_what_cannot_be_gone_over_fails_the_map_before_anything_of_it_begins(
    mapped: WALKED, given: object, items: str, told: str
) -> None:
    walked = mapped(given, square, items=items)

    await walked.settle()

    assert "work" not in walked.called
    assert causes(walked)[0].startswith(told)
    assert walked.kinds()[-1] == "run_ended"
    assert walked.violations() == []


@pytest.mark.parametrize(("count", "told"), [(10_001, ["ITEMS_INVALID"]), (10_000, [])])
async def test_a_list_in_shards_is_bounded_too(mapped: WALKED, count: int, told: list[str]) -> None:
    walked = mapped([0] * count, square, shards=True)

    await walked.settle()

    assert [cause.split()[1].rstrip(":") for cause in causes(walked)] == told
    assert [begun.shard_size for begun in events(walked, "map_begun")] == ([] if told else [100])
    assert walked.violations() == []


def test_what_a_shard_that_fails_leaves_is_left_out_where_it_is_too_large(plans: Any) -> None:
    ended = run_events_pb2.RunEnded(state=run_states_pb2.RUN_STATE_FAILED, cause=1, output_digest=b"d" * 32)
    left = RunEvent(run_output=run_events_pb2.RunOutput(json=b"x" * 11))

    (event,) = bounded([left, RunEvent(run_ended=ended)], Walk(plans.line(plans.node("a"))), 10)

    ended.ClearField("output_digest")
    assert event.run_ended == ended


async def test_an_item_that_is_tried_again_knows_why(mapped: WALKED) -> None:
    seen: list[Any] = []

    async def fails_once(call: Any) -> Any:
        seen.append(call.inputs["last"])
        if call.attempt == 1:
            raise ValueError("no")

    walked = mapped([1], fails_once, iteration_cap=2)
    await walked.settle()

    assert [error and error["cause"] for error in seen] == [None, "FUNCTION_RAISED"]
    assert events(walked, "run_ended")[0].cause == 0


async def test_the_list_that_items_have_begun_over_outlives_a_hold_that_came_between(mapped: WALKED) -> None:
    release = asyncio.Event()
    calls: list[int] = []

    async def waits(call: Any) -> Any:
        calls.append(call.inputs["item"])
        await release.wait()
        return {}

    walked = mapped([1, 2, 3], waits, max_parallel=1)
    walked.outside(**HOLD)
    for _ in range(20):
        await asyncio.sleep(0)
    answers = await walked.settle()
    release.set()
    await walked.settle()
    walked.outside(**RELEASE)

    assert "Behind" in answers
    assert len(calls) <= 1
    assert walked.violations() == []


async def test_the_results_of_a_map_may_be_too_large(mapped: WALKED) -> None:
    async def large(call: Any) -> Any:
        return {"text": "x" * 400_000}

    walked = mapped([1, 2, 3], large)
    await walked.settle()

    assert causes(walked)[0].startswith("fan PAYLOAD_TOO_LARGE: what it leaves has 1200")
    assert walked.violations() == []

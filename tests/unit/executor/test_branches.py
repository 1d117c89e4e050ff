"""Branches of one run that are done side by side by one holder."""

import asyncio
from typing import Any

import pytest

from perdure.v1 import instances_pb2, plans_pb2
from perdure.v1.execution_pb2 import WorkRequest
from tests.unit.executor.walked import HOLD, RELEASE, Walked, done, raises, until

AT_MOST_ONCE = instances_pb2.EFFECT_AT_MOST_ONCE
FORK = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]


@pytest.fixture
def fork(plans: Any) -> Any:
    """Walks a, then b and c side by side, then d; each does what it is given, or is soon done."""

    def begin(fields: dict[str, dict[str, Any]] | None = None, **functions: Any) -> Walked:
        nodes = [
            plans.node(name, function=plans_pb2.FunctionNode(function=name), **(fields or {}).get(name, {}))
            for name in "abcd"
        ]
        return Walked(plans.graph(nodes, FORK), {name: functions.get(name, done) for name in "abcd"})

    return begin


class Held:
    """Work that goes on until it is let go."""

    def __init__(self, output: Any = None) -> None:
        self.release = asyncio.Event()
        self.output = output

    async def __call__(self, call: Any) -> Any:
        await self.release.wait()
        return self.output


def settled(walked: Walked) -> list[str]:
    return [
        f"{kept.event.node_settled.instance.path[-1].node} {kept.event.node_settled.outcome}"
        for kept in walked.log
        if kept.event.HasField("node_settled")
    ]


async def test_branches_are_done_side_by_side_and_their_join_waits_for_both(fork: Any) -> None:
    left, right = Held(), Held()
    walked = fork(b=left, c=right)

    await walked.settle()
    both = list(walked.called)
    right.release.set()
    await walked.settle()
    after_one = list(walked.called)
    left.release.set()
    await walked.settle()

    assert (both, after_one, walked.called) == (["a", "b", "c"], ["a", "b", "c"], ["a", "b", "c", "d"])
    assert walked.over
    assert walked.violations() == []


async def test_a_join_sees_both_branches_and_the_one_declared_later_counts(fork: Any, plans: Any) -> None:
    seen: list[Any] = []

    async def looks(call: Any) -> None:
        seen.append(call.inputs)

    first, second = Held({"who": "b"}), Held({"who": "c"})
    inputs = b'{"who": "{{ who }}", "b": "{{ nodes.b.who }}"}'
    walked = fork({"d": {"inputs": inputs}}, b=first, c=second, d=looks)
    await walked.settle()

    second.release.set()
    await walked.settle()
    first.release.set()
    await walked.settle()

    assert seen == [{"who": "c", "b": "b"}]


async def test_a_node_that_fails_as_it_is_begun_keeps_the_other_branch_from_beginning(fork: Any) -> None:
    walked = fork({"b": {"inputs": b'{"x": "{{ nobody }}"}'}})

    await walked.settle()

    assert walked.called == ["a"]
    assert walked.kinds()[-1] == "run_ended"
    assert walked.violations() == []


async def test_what_another_branch_says_behind_a_jump_does_not_make_the_walk_run_ahead_of_it(fork: Any) -> None:
    failing, other = Held(), Held()

    async def fails(call: Any) -> None:
        await failing(call)
        raise ValueError("no")

    walked = fork({"b": {"inject_into": "a", "iteration_cap": 3}, "c": {"effect": AT_MOST_ONCE}}, b=fails, c=other)
    await walked.settle()
    failing.release.set()
    await until(lambda: walked.stream.awaits_answer)  # the jump is decided, and not sent yet
    said = walked.stream.unacknowledged_bytes
    other.release.set()
    await until(lambda: walked.stream.unacknowledged_bytes > said)

    walked.outside(**HOLD)
    walked.outside(**RELEASE)
    answers = await walked.settle()

    assert "Behind" in answers
    assert walked.kinds().count("jump_begun") == walked.kinds().count("jumped") > 0
    assert walked.kinds()[-1] == "run_ended"
    assert walked.violations() == []


async def test_a_sibling_that_fails_under_a_jump_was_jumped_over(fork: Any) -> None:
    other = Held()

    async def fails_late(call: Any) -> None:
        await other(call)
        raise ValueError("late")

    once = iter([raises])

    async def fails_once(call: Any) -> None:
        for fails in once:
            await fails(call)

    walked = fork(
        {"b": {"inject_into": "a", "iteration_cap": 3}, "c": {"effect": AT_MOST_ONCE}}, b=fails_once, c=fails_late
    )
    await walked.settle()
    under_the_jump = walked.kinds()[-1]
    other.release.set()
    await walked.settle()

    assert under_the_jump == "jump_begun"
    assert f"c {instances_pb2.OUTCOME_JUMPED_OVER}" in settled(walked)
    assert walked.violations() == []


@pytest.mark.parametrize("taken_back", [True, False])
async def test_a_sibling_that_asks_under_a_jump_asks_another_time_whether_the_walk_goes_back_or_not(
    fork: Any, taken_back: bool
) -> None:
    failing, other = Held(), Held()

    async def fails(call: Any) -> None:
        await failing(call)
        raise ValueError("no")

    async def asks(call: Any) -> None:
        await other(call)
        call.ask("Which?")

    walked = fork({"b": {"inject_into": "a", "iteration_cap": 2}, "c": {"effect": AT_MOST_ONCE}}, b=fails, c=asks)
    await walked.settle()
    failing.release.set()
    await until(lambda: walked.stream.awaits_answer)  # the jump is decided, and not sent yet
    said = walked.stream.unacknowledged_bytes
    other.release.set()
    await until(lambda: walked.stream.unacknowledged_bytes > said)
    if taken_back:
        walked.outside(**HOLD)
        walked.outside(**RELEASE)
    answers = await walked.settle()

    assert ("Behind" in answers) == taken_back
    assert f"c {instances_pb2.OUTCOME_STOPPED}" in settled(walked)
    assert f"c {instances_pb2.OUTCOME_FAILED}" not in settled(walked)
    assert f"c {instances_pb2.OUTCOME_ASKED}" in settled(walked)
    assert walked.violations() == []


async def test_a_holder_that_was_fenced_says_nothing_of_what_its_branches_come_to(fork: Any) -> None:
    left, right = Held(), Held()
    walked = fork({"b": {"effect": AT_MOST_ONCE}, "c": {"effect": AT_MOST_ONCE}}, b=left, c=right)
    await walked.settle()

    walked.walker.fence()
    left.release.set()
    right.release.set()
    await until(lambda: walked.over)

    request = WorkRequest()
    assert walked.stream.put_batch(request) == (0, 0)
    assert not walked.stream.has_unsent()
    walked.stream.reconnected()
    assert walked.stream.put_batch(request) == (0, 0)
    assert {report.instance.path[-1].node for report in walked.walker.late_reports()} == {"b", "c"}


async def test_a_fenced_holder_does_not_send_what_was_ready_to_be_sent(fork: Any) -> None:
    walked = fork(a=Held())
    await until(lambda: walked.called)

    walked.walker.fence()

    assert walked.commit() == []
    assert walked.kinds() == []

"""Whatever a function raises ends its attempt, as a failure, and neither the executor nor nothing."""

import asyncio
import concurrent.futures
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from perdure.v1 import instances_pb2, plans_pb2
from perdure_executor.calls import NeverCalled
from perdure_executor.node_context import NodeFailure
from tests.unit.executor.walked import INTERRUPT, Walked

AT_MOST_ONCE = instances_pb2.EFFECT_AT_MOST_ONCE


class Unreadable(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        raise KeyError("no text")


async def _awaits_what_was_cancelled(call: Any) -> None:
    task = asyncio.ensure_future(asyncio.sleep(10))
    task.cancel()
    await task


async def _cancels_itself(call: Any) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def _exits(call: Any) -> None:
    sys.exit(2)


def _raises(error: BaseException) -> Callable[[Any], Any]:
    async def raises(call: Any) -> None:
        raise error

    return raises


COROUTINES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "what it awaits was cancelled": (_awaits_what_was_cancelled, "CancelledError in "),
    "it cancels itself": (_cancels_itself, "CancelledError in "),
    "a cancellation": (_raises(asyncio.CancelledError()), "CancelledError in raises, line "),
    "an exit": (_exits, "SystemExit in _exits, line "),
    "an interrupt": (_raises(KeyboardInterrupt()), "KeyboardInterrupt in raises, line "),
    "the end of a generator": (_raises(GeneratorExit()), "GeneratorExit in raises, line "),
    "the end of an iterator": (_raises(StopIteration()), "RuntimeError in "),
    "a call that never began": (_raises(NeverCalled()), "NeverCalled in raises, line "),
    "an error without a text": (_raises(Unreadable()), "Unreadable in raises, line "),
    "half a character": (_raises(ValueError("\ud800")), "ValueError in raises, line "),
    "half a character in a message": (_raises(NodeFailure("no \ud800")), "no ?"),
}


@pytest.fixture
def walk(plans: Any) -> Any:
    """Walks one function node."""

    def begin(function: Any, **fields: Any) -> Walked:
        node = plans.node("a", function=plans_pb2.FunctionNode(function="a"), **fields)
        return Walked(plans.line(node), {"a": function})

    return begin


def ended(walked: Walked) -> tuple[str, str]:
    """The cause and the message of the end."""
    event = walked.log[-1].event.run_ended
    cause = instances_pb2.FailureCause.Name(event.node_cause or event.cause).removeprefix("FAILURE_CAUSE_")
    return cause, event.message


@pytest.mark.parametrize("effect", [instances_pb2.EFFECT_NONE, AT_MOST_ONCE], ids=["none", "at most once"])
@pytest.mark.parametrize("what", COROUTINES)
async def test_a_coroutine_function_that_raises_anything_has_failed_once(walk: Any, what: str, effect: Any) -> None:
    function, said = COROUTINES[what]
    walked = walk(function, effect=effect)

    await walked.settle()

    cause, message = ended(walked)
    assert (walked.called, cause) == (["a"], "FUNCTION_RAISED")
    assert message.startswith(said)
    assert walked.over
    assert walked.violations() == []


async def test_attempts_that_cancel_themselves_are_counted(walk: Any) -> None:
    walked = walk(_awaits_what_was_cancelled, iteration_cap=3)

    await walked.settle()

    assert walked.called == ["a"] * 3
    assert walked.over


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit(2), "SystemExit in plain, line "),
        (KeyboardInterrupt(), "KeyboardInterrupt in plain, line "),
        (GeneratorExit(), "GeneratorExit in plain, line "),
        (StopIteration(), "RuntimeError in plain, line "),
        (asyncio.CancelledError(), "CancelledError in plain, line "),
        (concurrent.futures.CancelledError(), "CancelledError in plain, line "),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_a_plain_function_that_raises_anything_has_failed_once(
    walk: Any, error: BaseException, said: str
) -> None:
    def plain(call: Any) -> None:
        raise error

    walked = walk(plain)

    await walked.to_its_end()

    cause, message = ended(walked)
    assert (walked.called, cause) == (["a"], "FUNCTION_RAISED")
    assert message.startswith(said)
    assert walked.violations() == []


@pytest.mark.parametrize("effect", [instances_pb2.EFFECT_NONE, AT_MOST_ONCE], ids=["none", "at most once"])
async def test_a_function_that_is_stopped_counts_as_stopped_however_it_awaits(walk: Any, effect: Any) -> None:
    async def waits(call: Any) -> None:
        await asyncio.shield(asyncio.get_running_loop().create_future())

    walked = walk(waits, effect=effect)
    await walked.settle()
    walked.outside(**INTERRUPT)
    walked.deliver()

    await walked.settle()

    (said,) = [one.event for one in walked.log if one.event.WhichOneof("kind") in ("node_settled", "node_in_doubt")]
    cause = said.node_in_doubt.cause if effect == AT_MOST_ONCE else said.node_settled.cause
    assert cause == instances_pb2.FAILURE_CAUSE_STOPPED
    assert walked.violations() == []


async def test_a_function_whose_time_is_over_has_run_out_of_time(walk: Any) -> None:
    async def waits(call: Any) -> None:
        await asyncio.get_running_loop().create_future()

    walked = walk(waits, timeout=Duration(nanos=1_000_000))

    await walked.to_its_end()

    assert ended(walked) == ("NODE_TIMED_OUT", "it did not end within 0.001 s")
    assert walked.called == ["a"]


async def test_what_a_plain_function_writes_into_the_log_is_written_where_the_walk_goes_on(walk: Any) -> None:
    threads: list[int] = []

    def plain(call: Any) -> None:
        threads.append(threading.get_ident())
        for number in range(20):
            call.log(f"{number} \ud800")

    walked = walk(plain)
    append = walked.stream.append
    walked.stream.append = lambda event, *, keep: threads.append(threading.get_ident()) or append(event, keep=keep)

    await walked.to_its_end()

    lines = [one.event.log_line.text for one in walked.log if one.event.HasField("log_line")]
    assert lines == [f"{number} ?" for number in range(20)]
    assert len(set(threads)) == 2
    assert threads.count(threads[0]) == 1
    assert walked.violations() == []

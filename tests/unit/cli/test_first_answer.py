"""The first call of a command that follows: for a server that comes within some seconds, people need do nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo

from perdure.cli.first_answer import first_answer
from perdure.client import CallFailed
from perdure.client.errors import DOMAIN

NOBODY = CallFailed(grpc.StatusCode.UNAVAILABLE, "connection refused")


def answering(*answers: str | CallFailed) -> Callable[[], Awaitable[str]]:
    """A call that gives one of these each time."""
    left = list(answers)

    async def call() -> str:
        answer = left.pop(0)
        if isinstance(answer, CallFailed):
            raise answer
        return answer

    return call


async def at_once(seconds: float) -> None:
    """A pause that takes no time."""


def unavailable(reason: str, message: str) -> CallFailed:
    """What a server says that is there, and can do nothing now."""
    why = AnyMessage()
    why.Pack(ErrorInfo(domain=DOMAIN, reason=reason))
    return CallFailed(grpc.StatusCode.UNAVAILABLE, message, [why])


def test_a_server_that_is_being_started_is_waited_for_and_people_are_told_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert asyncio.run(first_answer(answering(NOBODY, NOBODY, "here"), pause=at_once)) == "here"
    assert capsys.readouterr().err == "no server answers yet; trying again for 15 s\n"


def test_what_a_server_says_that_can_do_nothing_now_is_told_and_not_that_there_is_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    away = unavailable("STORE_UNAVAILABLE", "the store cannot be reached")

    assert asyncio.run(first_answer(answering(NOBODY, away, away, "here"), pause=at_once)) == "here"
    assert capsys.readouterr().err.splitlines() == [
        "no server answers yet; trying again for 15 s",
        "the store cannot be reached; trying again for 15 s",
    ]


def test_a_server_that_does_not_come_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CallFailed) as raised:
        asyncio.run(first_answer(answering(NOBODY), timedelta(0)))

    assert raised.value is NOBODY
    assert capsys.readouterr().err == ""


def test_a_server_that_refuses_is_not_asked_again() -> None:
    refusal = CallFailed(grpc.StatusCode.NOT_FOUND, "there is no such run")

    with pytest.raises(CallFailed) as raised:
        asyncio.run(first_answer(answering(refusal, "here")))

    assert raised.value is refusal

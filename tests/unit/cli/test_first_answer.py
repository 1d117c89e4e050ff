"""The first call of a command that follows: for a server that comes within some seconds, people need do nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import grpc
import pytest

from perdure.cli.first_answer import first_answer
from perdure.client import CallFailed

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


def test_a_server_that_is_being_started_is_waited_for_and_people_are_told_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert asyncio.run(first_answer(answering(NOBODY, NOBODY, "here"))) == "here"
    assert capsys.readouterr().err == "no server answers yet; trying again for 15 s\n"


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

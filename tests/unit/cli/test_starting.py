"""What people are told of a start whose answer never came."""

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from perdure.cli.flows import start_and_follow
from perdure.cli.printing.formats import Format
from perdure.client import CallFailed
from perdure.v1.flows_pb2 import StartFlowRequest


def test_a_start_that_nobody_answered_can_be_repeated_without_starting_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def silent(request: StartFlowRequest) -> Any:
        raise CallFailed(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")

    client: Any = SimpleNamespace(flows=SimpleNamespace(StartFlow=silent))
    with pytest.raises(CallFailed):
        asyncio.run(start_and_follow(client, StartFlowRequest(idempotency_key="k-1"), None, Format.TABLE))

    told = capsys.readouterr().err
    assert told.startswith("it may have started; this starts it if not, and never a second time: perdure flows start")
    assert "--idempotency-key k-1" in told

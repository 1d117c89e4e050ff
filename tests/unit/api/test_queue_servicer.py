"""Limits of queues over the API: who hears of them, and what is refused."""

import asyncio
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from perdure.v1 import queues_pb2
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.api.queue_servicer import QueueServicer
from perdure_control_plane.domain.errors import FieldInvalid
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.usecases.changes import Changes


def rate(runs: int, **period: int) -> queues_pb2.QueueRate:
    return queues_pb2.QueueRate(runs=runs, period=Duration(**period))


async def test_executors_look_again_when_limits_are_set(store: Any) -> None:
    changes, wake = Changes(), asyncio.Event()
    changes.await_work(wake)
    servicer = QueueServicer(store, Pages(b"secret", Limits()), changes)

    queue = await servicer.UpdateQueue(queues_pb2.UpdateQueueRequest(name="queues/mail", rate=rate(2, seconds=1)), None)

    assert wake.is_set()
    assert await servicer.GetQueue(queues_pb2.GetQueueRequest(name="queues/mail"), None) == queue


@pytest.mark.parametrize(
    ("field", "limits"),
    [
        ("max_runs_at_work", {"max_runs_at_work": -1}),
        ("max_queued_runs", {"max_queued_runs": 2_000_000}),
        (r"rate\.runs", {"rate": rate(-1, seconds=1)}),
        (r"rate\.period", {"rate": rate(1)}),
        (r"rate\.period", {"rate": rate(1000, nanos=1_000_000)}),
    ],
)
async def test_limits_that_are_none_are_refused(store: Any, field: str, limits: dict[str, Any]) -> None:
    servicer = QueueServicer(store, Pages(b"secret", Limits()), Changes())

    with pytest.raises(FieldInvalid, match=field):
        await servicer.UpdateQueue(queues_pb2.UpdateQueueRequest(name="queues/mail", **limits), None)

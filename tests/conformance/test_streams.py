"""An executor's stream at the server's end: what it is owed, it gets, or the stream ends and it asks again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from perdure.runlog.head import Stop
from perdure.v1 import execution_pb2
from perdure.v1.execution_pb2 import WorkRequest, WorkResponse
from perdure_control_plane.api.work.desk import Desk
from perdure_control_plane.api.work.session import WorkSession
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.identity import ServerIdentity
from perdure_control_plane.storage.run_events import RunEvents
from perdure_control_plane.usecases.changes import Changes
from perdure_control_plane.usecases.stop_run import stop_run


@dataclass
class Stream:
    """One stream, with the messages of an executor that does only what a test says."""

    session: WorkSession
    said: "asyncio.Queue[WorkRequest]" = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.responses = self.session.serve(self._requests())

    async def _requests(self) -> AsyncIterator[WorkRequest]:
        while True:
            yield await self.said.get()

    def say(self, **parts: Any) -> None:
        self.said.put_nowait(WorkRequest(**parts))

    async def hears(self, part: str) -> Any:
        """What the next message with such a part has there."""
        async for response in self.responses:
            found: Any = getattr(response, part)
            if len(found):
                return found
        raise AssertionError(f"the stream ended before {part}")

    async def rest(self) -> list[WorkResponse]:
        """Everything up to the stream's end."""
        return [response async for response in self.responses]

    async def takes(self) -> execution_pb2.Assignment:
        """Takes one run and confirms it."""
        self.say(credits=execution_pb2.Credits(free=1))
        (assignment,) = await self.hears("assignments")
        self.say(assignment_acks=[execution_pb2.AssignmentAck(number=assignment.number)])
        return assignment


@pytest.fixture
def desk(house: Any) -> Desk:
    changes = Changes()
    house.store.on_commit(changes.committed)
    return Desk(house.store, changes, house.timing, house.limits, ServerIdentity("server", "test", 1, "sqlite"))


@pytest.fixture
async def connect(desk: Desk) -> AsyncIterator[Callable[[], Any]]:
    """Opens a stream of one and the same executor."""
    opened: list[Stream] = []

    async def connect() -> Stream:
        versions = execution_pb2.VersionRange(lowest=1, highest=1)
        hello = execution_pb2.Hello(
            executor_id="x", incarnation="1", protocol=versions, fold=versions, node_kinds=["function"],
            queues=["default"], providers=["builtin"], slots=2,
        )  # fmt: skip
        opened.append(Stream(await WorkSession.open(desk, hello)))
        return opened[-1]

    yield connect
    for stream in opened:
        await stream.responses.aclose()


def break_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next reading of facts fails, as on a disk that does not answer."""
    working = RunEvents.facts_after

    def fails(*_: Any) -> Any:
        monkeypatch.setattr(RunEvents, "facts_after", working)
        raise StoreUnavailable("sqlite", "the disk does not answer")

    monkeypatch.setattr(RunEvents, "facts_after", fails)


async def test_facts_that_could_not_be_read_are_delivered_on_the_next_stream(
    house: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.start()
    stream = await connect()
    held = await stream.takes()
    break_once(monkeypatch)

    await stop_run(house.store, OPEN_CALLER, held.run_id, Stop.CANCEL, "", "")
    await stream.rest()

    again = await connect()
    here = execution_pb2.HeldRun(run_id=held.run_id, lease_id=held.lease_id)
    again.say(heartbeat=execution_pb2.Heartbeat(number=1, last_assignment=held.number, held=[here]))
    (delivery,) = await again.hears("deliveries")
    assert [recorded.event.WhichOneof("kind") for recorded in delivery.facts] == ["stop_requested"]


async def test_a_batch_whose_answer_could_not_be_made_is_answered_on_the_next_stream(
    house: Any, connect: Any, monkeypatch: pytest.MonkeyPatch, holder: Any
) -> None:
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.CANCEL, "", "")
    batch = execution_pb2.EventBatch(
        run_id=holder.run_id, lease_id=holder.claimed.lease_id, first_ordinal=1, seen=holder.seen,
        events=[holder.started("a")],
    )  # fmt: skip
    stream = await connect()
    break_once(monkeypatch)

    stream.say(batches=[batch])
    await stream.rest()

    again = await connect()
    again.say(batches=[batch])
    (answer,) = await again.hears("answers")
    assert [recorded.event.WhichOneof("kind") for recorded in answer.behind.facts] == ["stop_requested"]

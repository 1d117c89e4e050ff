"""An executor that a test plays, message by message: the other side of the work stream."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc.aio

from perdure.v1 import (
    execution_pb2,
)
from perdure.v1.execution_pb2 import WorkRequest, WorkResponse
from perdure.v1.run_events_pb2 import RunEvent


@dataclass
class Played:
    """One stream of an executor."""

    call: Any
    welcome: execution_pb2.Welcome

    async def say(self, **fields: Any) -> None:
        await self.call.write(WorkRequest(**fields))

    async def hear(self, wanted: Callable[[WorkResponse], bool]) -> WorkResponse:
        """The next response that is the wanted one."""
        while True:
            response = await self.call.read()
            assert response is not grpc.aio.EOF, "the stream ended"
            if wanted(response):
                return response

    async def ended(self) -> None:
        """Returns when the server has ended the stream."""
        while await self.call.read() is not grpc.aio.EOF:
            pass

    async def take(self) -> execution_pb2.Assignment:
        """Asks for a run, and confirms it."""
        await self.say(credits=execution_pb2.Credits(free=1))
        (assignment,) = (await self.hear(lambda response: bool(response.assignments))).assignments
        await self.say(assignment_acks=[execution_pb2.AssignmentAck(number=assignment.number)])
        return assignment

    async def append(self, run: execution_pb2.Assignment, first: int, *events: RunEvent) -> execution_pb2.Answer:
        """Sends a batch and waits for its answer."""
        batch = execution_pb2.EventBatch(run_id=run.run_id, lease_id=run.lease_id, first_ordinal=first, events=events)
        await self.say(batches=[batch])
        (answer,) = (await self.hear(lambda response: bool(response.answers))).answers
        return answer

    async def beat(self, number: int, *held: execution_pb2.Assignment) -> list[execution_pb2.Answer]:
        """Sends a heartbeat; the answers that came before its acknowledgement."""
        await self.say(heartbeat=heartbeat(number, *held))
        answers: list[execution_pb2.Answer] = []

        def is_answered(response: WorkResponse) -> bool:
            answers.extend(response.answers)
            return response.heartbeat_ack.number == number

        await self.hear(is_answered)
        return answers


def heartbeat(number: int, *held: execution_pb2.Assignment) -> execution_pb2.Heartbeat:
    """A heartbeat of an executor that holds these runs."""
    runs = [execution_pb2.HeldRun(run_id=run.run_id, lease_id=run.lease_id) for run in held]
    return execution_pb2.Heartbeat(number=number, last_assignment=1, held=runs)

"""What is to be said to an executor: gathered while the last message is on its way, and sent as one."""

import asyncio
from collections import deque
from typing import Final

from perdure.v1 import execution_pb2
from perdure_control_plane.domain import admission

MESSAGE_BYTES: Final = 1024 * 1024
"""Size of the parts of a message, after which the next ones wait for the next message."""


class Outbox:
    """Parts of responses, in order."""

    def __init__(self) -> None:
        self._answers: list[execution_pb2.Answer] = []
        self._parts: deque[execution_pb2.WorkResponse] = deque()
        self._acknowledged = 0
        self.wake: Final = asyncio.Event()

    def say(self, part: execution_pb2.WorkResponse) -> None:
        """Adds a part."""
        self._parts.append(part)
        self.wake.set()

    def answer(self, answer: execution_pb2.Answer) -> None:
        """Adds an answer to a batch."""
        self._answers.append(answer)
        self.wake.set()

    def acknowledge(self, heartbeat: execution_pb2.HeartbeatAck) -> None:
        """Acknowledges a heartbeat, unless a later one is acknowledged already.

        Those of one commit end in any order, and of what is said at once the last counts: of them all it is to be the
        latest, for a lease lasts from the sending of the heartbeat that is acknowledged.
        """
        if heartbeat.number > self._acknowledged:
            self._acknowledged = heartbeat.number
            self.say(execution_pb2.WorkResponse(heartbeat_ack=heartbeat))

    def take(self) -> execution_pb2.WorkResponse | None:
        """The next message; None where there is nothing to say."""
        if not self._answers and not self._parts:
            return None
        answers, self._answers = self._answers, []
        response = execution_pb2.WorkResponse(answers=answers)
        size = 0
        while self._parts and size < MESSAGE_BYTES:
            size += self._parts[0].ByteSize()
            if size > MESSAGE_BYTES and (answers or response.ByteSize()):
                break
            response.MergeFrom(self._parts.popleft())
        return response


def answer_message(batch: admission.Batch, answer: admission.Answer) -> execution_pb2.Answer:
    """An answer on the wire."""
    message = execution_pb2.Answer(run_id=batch.run_id, lease_id=batch.lease_id, tail=batch.tail)
    match answer:
        case admission.Ack():
            message.ack.ordinal, message.ack.sequence = answer.ordinal, answer.sequence
        case admission.Resend():
            message.resend.from_ordinal = answer.from_ordinal
        case admission.Behind():
            message.behind.from_ordinal = answer.from_ordinal
        case admission.Refused():
            message.refused.from_ordinal, message.refused.reason = answer.from_ordinal, answer.reason
            message.refused.message = answer.message
        case admission.Rejected():
            message.rejected.SetInParent()
    return message

"""An executor that is played, message by message, over a real stream."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from perdure.runlog.instances import Instance, Step
from perdure.v1 import execution_pb2, instances_pb2, node_events_pb2
from perdure.v1.execution_pb2 import WorkRequest, WorkResponse
from perdure.v1.run_events_pb2 import RunEvent
from tests.fuzz.calls import LONGEST_SECONDS, Answer, Line, refusal

QUEUE: Final = "played"
_VERSION: Final = execution_pb2.VersionRange(lowest=1, highest=1)
_BACK_SECONDS: Final = 30.0


class StreamEnded(Exception):
    """The server has ended the stream; `answer` is how."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.word)
        self.answer: Final = answer


@dataclass
class Stream:
    """One stream, from its hello on. What is sent may be any bytes."""

    call: Any
    sent: "queue.SimpleQueue[bytes | None]"
    heard: "queue.SimpleQueue[bytes | Answer]" = field(default_factory=queue.SimpleQueue)

    def send(self, content: bytes) -> None:
        """Sends one message."""
        self.sent.put(content)

    def hear(self, wanted: Callable[[WorkResponse], bool], seconds: float = LONGEST_SECONDS) -> WorkResponse:
        """The next message that is wanted. Raises StreamEnded, and TimeoutError where nothing of the kind comes."""
        while True:
            try:
                got = self.heard.get(timeout=seconds)
            except queue.Empty:
                raise TimeoutError from None
            if isinstance(got, Answer):
                raise StreamEnded(got)
            if wanted(response := WorkResponse.FromString(got)):
                return response

    def listen(self) -> None:
        """Takes in what comes; runs in a thread of its own."""
        try:
            for message in self.call:
                self.heard.put(message)
            self.heard.put(Answer("OK"))
        except grpc.RpcError as error:
            self.heard.put(refusal(error, 0.0))


@contextlib.contextmanager
def stream(line: Line, metadata: tuple[tuple[str, str], ...]) -> Iterator[Stream]:
    """Opens one; it is broken off afterwards where it has not ended."""
    sent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    call = line.channel.stream_stream("/perdure.v1.ExecutionService/Work")(iter(sent.get, None), metadata=metadata)
    opened = Stream(call, sent)
    listening = threading.Thread(target=opened.listen)
    listening.start()
    try:
        yield opened
    finally:
        sent.put(None)
        call.cancel()
        listening.join()


def hello(name: str, queue: str) -> WorkRequest:
    """What an executor says first."""
    kinds = ["function", "approval", "wait", "map", "agentic", "deterministic", "playbook", "part"]
    said = execution_pb2.Hello(
        executor_id=name, incarnation=f"{name}-process", protocol=_VERSION, fold=_VERSION, node_kinds=kinds,
        queues=[queue], providers=["builtin"], slots=2, version="played",
    )  # fmt: skip
    return WorkRequest(hello=said)


@dataclass(frozen=True, slots=True)
class Player:
    """Takes runs of the queue that is its own."""

    line: Line
    metadata: tuple[tuple[str, str], ...]

    def leave_in_doubt(self, run: str, name: str, queue: str) -> None:
        """Takes a run, begins its first node, and forgets it: what that node did is in doubt then."""
        with stream(self.line, self.metadata) as opened:
            opened.send(hello(name, queue).SerializeToString())
            opened.hear(lambda response: response.HasField("welcome"))
            taken = 0
            while True:
                credits = execution_pb2.Credits(free=1, last_assignment=taken)
                opened.send(WorkRequest(credits=credits).SerializeToString())
                heard = opened.hear(lambda response: bool(response.assignments), _BACK_SECONDS)
                for assignment in heard.assignments:
                    taken = assignment.number
                    if f"runs/{assignment.run_id}" == run:
                        _begin_and_forget(opened, assignment)
                        return


def _begin_and_forget(opened: Stream, assignment: execution_pb2.Assignment) -> None:
    where = Instance((Step("pay", 1),), 1).message()
    started = RunEvent(
        node_started=node_events_pb2.NodeStarted(instance=where, effect=instances_pb2.EFFECT_AT_MOST_ONCE)
    )
    batch = execution_pb2.EventBatch(
        run_id=assignment.run_id, lease_id=assignment.lease_id, first_ordinal=1, events=[started]
    )
    acknowledged = [execution_pb2.AssignmentAck(number=assignment.number)]
    opened.send(WorkRequest(assignment_acks=acknowledged, batches=[batch]).SerializeToString())
    opened.hear(lambda response: any(answer.HasField("ack") for answer in response.answers))
    beat = execution_pb2.Heartbeat(number=1, last_assignment=assignment.number)
    opened.send(WorkRequest(heartbeat=beat).SerializeToString())
    opened.hear(lambda response: response.heartbeat_ack.number == 1)

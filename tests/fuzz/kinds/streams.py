"""Streams: what an executor says, in the wrong order, left out, doubled or bent; and followers who come and go.

The executor takes a run of its own, and reports what the holder of such a run has reported before: nearly right, and never
quite what the server is waiting for.
"""

import random
from typing import Any

from perdure.v1 import execution_pb2, flows_pb2
from perdure.v1.execution_pb2 import WorkRequest
from tests.fuzz.bending import bent_bytes
from tests.fuzz.calls import Answer
from tests.fuzz.case import Outcome, Place
from tests.fuzz.messages import bent, made
from tests.fuzz.population import path_of
from tests.fuzz.working import Stream, StreamEnded, hello, stream

LAST_BEAT = 2**63 - 1
"""The number of the heartbeat that every stream ends with: it is acknowledged, or the stream has ended with a reason."""
WALKED = (
    "done",
    "failed",
    "approve",
    "review",
    "select",
    "signal",
    "agent",
    "map",
    "asks-many",
    "parent",
    "branches",
    "doubt",
)


def streams(chance: random.Random, place: Place) -> Outcome:
    """An executor's stream that goes wrong."""
    sample = chance.choice(WALKED)
    _start(place, sample)
    said: list[str] = []
    try:
        with stream(place.line, place.people["admin"]) as opened:
            word = _play(chance, place, opened, sample, said)
        fault = ""
    except StreamEnded as ended:
        word, fault = ended.answer.word, ended.answer.fault
    except TimeoutError:
        word, fault = "NO ANSWER", "the stream went on, and what was asked was not answered within 5 s"
    return Outcome("Work", word, f"{sample}:\n" + "\n".join(said)[:20_000], fault)


def _start(place: Place, sample: str) -> None:
    version, key = place.population.versions[sample], f"played-{place.number}"
    request = flows_pb2.StartFlowRequest(
        playbook_version=version.name, digest=version.digest, session=f"sessions/s{place.population.suffix}",
        idempotency_key=key, request={"input": b'{"n": 3}'}, queue=place.population.queue,
    )  # fmt: skip
    place.ask(path_of("StartFlow"), request, place.people["admin"])


def _play(chance: random.Random, place: Place, opened: Stream, sample: str, said: list[str]) -> str:
    """Plays one to its end; how far it came."""
    first = hello(f"player-{place.number}", place.population.queue)
    words = place.population.words
    if chance.random() < 0.15:
        first = bent(chance, first, words) if chance.random() < 0.8 else made(chance, WorkRequest.DESCRIPTOR, words)
    _say(opened, said, first.SerializeToString())
    opened.hear(lambda response: response.HasField("welcome"))
    _say(opened, said, WorkRequest(credits=execution_pb2.Credits(free=1)).SerializeToString())
    try:
        assignments = opened.hear(lambda response: bool(response.assignments), 3.0).assignments
    except TimeoutError:
        return _end(
            opened, said, "nothing to do"
        )  # another stream has the run still, or it waits for its lease to run out
    requests = _reports(chance, place, assignments[0], sample)
    for request in _disordered(chance, requests, place.population.queue):
        content = request.SerializeToString()
        if chance.random() < 0.15:
            content = bent(chance, request, words).SerializeToString()
        elif chance.random() < 0.03:
            content = bent_bytes(chance, content)
        _say(opened, said, content)
    return _end(opened, said, "acknowledged")


def _reports(chance: random.Random, place: Place, taken: Any, sample: str) -> list[WorkRequest]:
    """What the holder of such a run says, as if of this one, in one batch for each few events."""
    requests = [WorkRequest(assignment_acks=[execution_pb2.AssignmentAck(number=taken.number)])]
    events, ordinal = list(place.population.events[sample]), 1
    if chance.random() < 0.3:
        other = place.population.events[chance.choice(WALKED)]
        events[chance.randrange(len(events) + 1) :] = other[chance.randrange(len(other) + 1) :]
    while events:
        count = chance.choice((1, 1, 2, 5))
        batch = execution_pb2.EventBatch(
            run_id=taken.run_id, lease_id=taken.lease_id, first_ordinal=ordinal, events=events[:count],
            seen=taken.events[-1].sequence if chance.random() < 0.2 and taken.events else 0,
        )  # fmt: skip
        requests.append(WorkRequest(batches=[batch]))
        ordinal, events = ordinal + count, events[count:]
    held = [execution_pb2.HeldRun(run_id=taken.run_id, lease_id=taken.lease_id)]
    for number in (1, 2):
        beat = execution_pb2.Heartbeat(number=number, last_assignment=taken.number, held=held if number == 1 else [])
        requests.insert(chance.randrange(len(requests) + 1), WorkRequest(heartbeat=beat))
    if chance.random() < 0.3:
        back = execution_pb2.StoreWentBack(
            run_id=taken.run_id, lease_id=taken.lease_id, acknowledged_ordinal=chance.choice((0, 1, -1))
        )
        requests.append(WorkRequest(went_back=[back]))
    if chance.random() < 0.4:
        late = made(chance, execution_pb2.LateReport.DESCRIPTOR, place.population.words)
        late.MergeFrom(execution_pb2.LateReport(run_id=taken.run_id, number=1))
        late.report.lease_id = chance.choice((taken.lease_id, "another"))
        requests.append(WorkRequest(late_reports=[late]))
    return requests


def _disordered(chance: random.Random, requests: list[WorkRequest], queue: str) -> list[WorkRequest]:
    requests = list(requests)
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        at, other = chance.randrange(len(requests)), chance.randrange(len(requests))
        match chance.randrange(5):
            case 0:
                requests[at], requests[other] = requests[other], requests[at]
            case 1:
                requests.insert(other, requests[at])
            case 2 if len(requests) > 1:
                del requests[at]
            case 3:
                merged = WorkRequest()
                merged.MergeFrom(requests[at])
                merged.MergeFrom(requests[other])
                requests.insert(at, merged)
            case _:
                requests.insert(at, hello("again", queue) if chance.random() < 0.2 else WorkRequest())
    return requests


def _say(opened: Stream, said: list[str], content: bytes) -> None:
    said.append(content.hex())
    opened.send(content)


def _end(opened: Stream, said: list[str], word: str) -> str:
    beat = WorkRequest(heartbeat=execution_pb2.Heartbeat(number=LAST_BEAT))
    _say(opened, said, beat.SerializeToString())
    opened.hear(lambda response: response.heartbeat_ack.number == LAST_BEAT)
    return word


def followers(chance: random.Random, place: Place) -> Outcome:
    """Somebody who follows a run or a flow from a place of their own, and leaves in the middle."""
    name = chance.choice(("WatchRun", "WatchFlow", "ReadTaskOutput", "ExportAuditEvents"))
    path = path_of(name)
    request = bent(chance, chance.choice(place.population.requests[path]), place.population.words)
    call = place.line.channel.unary_stream(path)(
        request.SerializeToString(), metadata=place.caller(chance, path), timeout=0.05
    )
    if chance.random() < 0.7:
        call.cancel()
        return Outcome(name, "left", str(request))
    answer: Answer = place.ask(path, request, place.people["admin"])
    call.cancel()
    return Outcome(name, answer.word, str(request), answer.fault)

"""A small part of `make fuzz`, and that what it looks for would be seen."""

import json
import pathlib
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2, status_pb2

from perdure.v1.flows_pb2 import StartFlowRequest
from tests.fuzz.bending import bent_json
from tests.fuzz.calls import METHODS, Line, refusal
from tests.fuzz.kinds.asking import ASKED, WORK
from tests.fuzz.messages import Words, bent, made
from tests.fuzz.run import KINDS, Tally
from tests.fuzz.servers import Log, Servers
from tests.fuzz.stores import Asked, play_store

SEED = 17


def played(store: str, cases: int) -> Tally:
    said: list[str] = []
    tally = play_store(store, Asked(SEED, cases, None, 1, []), lambda *lines: said.extend(lines))
    assert tally.failures == [], "\n".join(said)
    return tally


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("store", "cases"), [("sqlite", 250), ("postgresql", 100)])
def test_whatever_a_server_is_asked_it_answers_and_its_store_stays_sound(store: str, cases: int) -> None:
    tally = played(store, cases)

    assert tally.cases == cases
    assert len(tally.kinds) > len(KINDS) - 2
    assert sum(count for (_, word), count in tally.answers.items() if word in ("OK", "OPEN")) > cases // 10


def test_every_call_that_a_server_has_is_asked_also_one_that_is_new() -> None:
    assert {*ASKED, WORK} == set(METHODS)


@pytest.mark.parametrize("path", METHODS)
def test_a_request_of_every_call_can_be_made_and_bent_without_knowing_it(path: str) -> None:
    words, kind = Words(), METHODS[path].input_type
    words.learn(StartFlowRequest(flow_id="f", labels=["gpu"]))

    for seed in range(50):
        request = made(random.Random(seed), kind, words)
        changed = bent(random.Random(seed), request, words)
        assert type(changed) is GetMessageClass(kind)
        assert changed.SerializeToString(deterministic=True) == again(seed, request, words)


def again(seed: int, request: Message, words: Words) -> bytes:
    """The same request, bent in the same way."""
    return bent(random.Random(seed), request, words).SerializeToString(deterministic=True)


def test_a_document_is_bent_in_the_same_way_after_the_same_seed_and_otherwise_after_another() -> None:
    document = {"nodes": [{"id": "a", "depends": ["b", "c"]}, {"id": "b", "inputs": {"n": 3}}], "title": "Bent"}

    ways = [json.dumps(bent_json(random.Random(seed), document)) for seed in range(100)]

    assert ways == [json.dumps(bent_json(random.Random(seed), document)) for seed in range(100)]
    assert len(set(ways)) > 30
    assert document["nodes"][0]["depends"] == ["b", "c"]


class Pair(NamedTuple):
    """One entry of what a call's end carries."""

    key: str
    value: bytes


class Refused(grpc.RpcError):
    """A call that was refused."""

    def __init__(self, code: grpc.StatusCode, *details: Message) -> None:
        super().__init__()
        self._code = code
        number = code_pb2.Code.Value(code.name)
        status = status_pb2.Status(code=number, message="no")
        for detail in details:
            status.details.add().Pack(detail)
        self._status = status.SerializeToString()

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "no"

    def trailing_metadata(self) -> tuple[Any, ...]:
        return (Pair("grpc-status-details-bin", self._status),)


def why(reason: str, domain: str = "perdure") -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (Refused(grpc.StatusCode.NOT_FOUND, why("NOT_FOUND")), ""),
        (Refused(grpc.StatusCode.NOT_FOUND), "without a reason of ours"),
        (Refused(grpc.StatusCode.NOT_FOUND, why("NOT_FOUND", "example")), "without a reason of ours"),
        (Refused(grpc.StatusCode.NOT_FOUND, why("UNHEARD_OF")), "without a reason of ours"),
        (Refused(grpc.StatusCode.NOT_FOUND, why("NOT_FOUND"), why("NOT_FOUND")), "without a reason of ours"),
        (Refused(grpc.StatusCode.INTERNAL, why("INTERNAL")), "INTERNAL after"),
        (Refused(grpc.StatusCode.UNKNOWN), "UNKNOWN after"),
        (Refused(grpc.StatusCode.DATA_LOSS, why("DATA_CORRUPT")), "DATA_LOSS after"),
        (Refused(grpc.StatusCode.DEADLINE_EXCEEDED), "DEADLINE_EXCEEDED after"),
        (Refused(grpc.StatusCode.UNAVAILABLE, why("STORE_UNAVAILABLE")), "UNAVAILABLE after"),
    ],
)
def test_an_answer_that_no_server_should_give_is_a_fault(error: Refused, fault: str) -> None:
    found = refusal(error, 0.1).fault

    assert fault in found
    assert bool(fault) == bool(found)


def test_an_answer_that_comes_late_is_a_fault() -> None:
    assert "after 6.0 s" in refusal(Refused(grpc.StatusCode.NOT_FOUND, why("NOT_FOUND")), 6.0).fault


def test_what_a_program_says_that_it_should_not_is_a_fault_once(tmp_path: pathlib.Path) -> None:
    log = Log(tmp_path / "log")
    log.path.write_text(
        '{"event": "call.refused", "level": "info"}\n{"event": "call.failed", "level": "error"}\nTraceback'
    )

    first, second = log.faults(), log.faults()
    with log.path.open("a") as file:
        file.write(" (most recent call last):\n")

    assert first == ['{"event": "call.failed", "level": "error"}']
    assert second == []
    assert log.faults() == ["Traceback (most recent call last):"]


@pytest.fixture
def started(tmp_path: pathlib.Path) -> Iterator[Servers]:
    servers = Servers(tmp_path, "")
    servers.start()
    yield servers
    servers.stop()


def test_a_server_that_has_ended_is_a_fault(started: Servers) -> None:
    line = Line(started.address)
    before = started.faults()
    started.kill("control-plane")

    answer = line.ask("/perdure.v1.IdentityService/WhoAmI", [b""], ())
    line.close()

    assert before == []
    assert answer.fault.startswith("UNAVAILABLE")
    assert "control-plane ended with -9" in started.faults()

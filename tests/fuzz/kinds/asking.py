"""Requests of every call: bent where one is known that is right, and made by their descriptors where none is."""

import random

from google.protobuf.message_factory import GetMessageClass

from tests.fuzz.bending import CONTENTS, bent_bytes
from tests.fuzz.calls import METHODS
from tests.fuzz.case import Outcome, Place, call_of, told
from tests.fuzz.messages import bent, made

WORK = "/perdure.v1.ExecutionService/Work"
ASKED = [path for path, method in METHODS.items() if not method.client_streaming]
DEEP = [path for path in ASKED if call_of(path) in (
    "StartFlow", "DecideApproval", "ContinueRun", "ResolveEffect", "CreateSchedule", "SignalRun", "CreateKey", "UpdateQueue",
    "PublishPlaybookVersion", "ListRuns", "ListAuditEvents", "WatchFlow",
)]  # fmt: skip
"""Those with the most to get wrong; each is asked as often again as the others."""
STRANGE_PATHS = (
    "/perdure.v1.FlowService/None",
    "/perdure.v1.None/GetFlow",
    "/x",
    "/",
    "/a/b/c",
    "/perdure.v1.FlowService/",
)


def requests(chance: random.Random, place: Place) -> Outcome:
    """A request that is nearly right, mostly."""
    path = chance.choice([*ASKED, *DEEP])
    known, words = place.population.requests[path], place.population.words
    draw = chance.random()
    if known and draw < 0.08:
        request = chance.choice(known)
    elif known and draw < 0.9:
        request = bent(chance, chance.choice(known), words)
    else:
        request = made(chance, METHODS[path].input_type, words)
    answer = place.ask(path, request, place.caller(chance, path))
    return Outcome(call_of(path), answer.word, told(request), answer.fault)


def raw(chance: random.Random, place: Place) -> Outcome:
    """Bytes where a request should be: at random, or those of a request that is right with some of them changed."""
    if chance.random() < 0.02:
        path = chance.choice(STRANGE_PATHS)
        contents = [chance.randbytes(8)]
    else:
        path = chance.choice([*ASKED, WORK])
        contents = [_bytes(chance, place, path) for _ in range(chance.choice((1, 2, 3)) if path == WORK else 1)]
    answer = place.line.ask(path, contents, place.caller(chance, path))
    return Outcome(call_of(path), answer.word, repr(contents)[:3000], answer.fault)


def _bytes(chance: random.Random, place: Place, path: str) -> bytes:
    draw = chance.random()
    if draw < 0.1:
        return chance.randbytes(chance.choice((0, 1, 2, 10, 100, 5000)))
    if draw < 0.15:
        return chance.choice(CONTENTS)
    known = place.population.requests[path]
    request = chance.choice(known) if known else GetMessageClass(METHODS[path].input_type)()
    content = request.SerializeToString()
    if draw < 0.25:  # a field that nobody knows
        return content + b"\xfa\x3f\x05later" + (b"\xc0\x3e\x01" if draw < 0.2 else b"")
    for _ in range(chance.choice((1, 1, 2, 5))):
        content = bent_bytes(chance, content)
    return content

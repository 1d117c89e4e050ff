"""What proves something: keys and tokens of callers, tokens of approvals, tokens of pages, positions in logs.

A text that is not what a server gave out, and is taken all the same, is a fault, whatever else comes of it.
"""

import base64
import json
import random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.fuzz.bending import NUMBERS, TEXTS, bent_base64, bent_json, bent_text
from tests.fuzz.calls import OPEN, Answer
from tests.fuzz.case import Metadata, Outcome, Place, call_of, told
from tests.fuzz.population import path_of, right_decision
from tests.fuzz.servers import OTHER, ROLES, claims, signed

MOST_SIGNS = 6000
"""Of a header; of a longer one gRPC itself does not let a call through."""
TAKEN = ("OK", OPEN)


def credentials(chance: random.Random, place: Place) -> Outcome:
    """A key or a token of a caller that is bent, or none, or two, or in another scheme."""
    path = path_of("WhoAmI" if chance.random() < 0.7 else "GetFlow")
    known = place.population.requests[path]
    metadata, may_be_taken = _credential(chance, place)
    answer = place.ask(path, chance.choice(known), metadata)
    fault = answer.fault
    if not may_be_taken and answer.reason != "UNAUTHENTICATED" and answer.code != "NOT_SENT":
        fault = fault or f"taken, though no server has made it: {answer.word}"
    return Outcome(call_of(path), answer.word, repr(metadata)[:3000], fault)


def _credential(chance: random.Random, place: Place) -> tuple[Metadata, bool]:
    """What a call says of its caller, and whether a server may believe it."""
    role = chance.choice(ROLES)
    draw = chance.random()
    if draw < 0.3:
        good = chance.choice([text for role, text in place.population.keys.items() if role != "revoked"])
        text = _of_a_header(bent_text(chance, good))
        return _bearer(text), text.strip() == good
    if draw < 0.5:
        good = signed(claims(f"the-{role}", role))
        text = _of_a_header(bent_base64(chance, good))
        return _bearer(text), _decoded(text.strip()) == _decoded(good)
    if draw < 0.7:
        held = bent_json(chance, claims("ada", role))
        return _bearer(signed_or(chance, held)), True
    if draw < 0.8:
        header = {
            "alg": chance.choice(("none", "HS256", "ES256", "RS256", "", "ES512")),
            "kid": chance.choice(("one", "two", "")),
        }
        parts = [json.dumps(part).encode() for part in (bent_json(chance, header), claims("ada", role))]
        text = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (*parts, chance.randbytes(64)))
        return _bearer(text[:MOST_SIGNS]), False
    if draw < 0.85:
        return _bearer(signed(claims("ada", role), OTHER, kid=chance.choice(("one", "two")))), False
    if draw < 0.9:
        return _bearer(place.population.keys["revoked"]), False
    good = place.population.keys["admin"]
    two = (*_bearer(good), *_bearer(chance.choice((good, "x"))))
    other = chance.choice(
        (f"Basic {good}", good, f"bearer{good}", f"Token {good}", "Bearer", "Bearer ", f"Bearer  {good} x")
    )
    return (two if draw < 0.94 else (("authorization", other),)), False


def signed_or(chance: random.Random, held: Any) -> str:
    """A token that is signed well, whatever it says; a text that is none where that cannot be signed."""
    try:
        return signed(held)[:MOST_SIGNS]
    except (TypeError, ValueError, AttributeError, UnicodeEncodeError):
        return chance.choice(TEXTS[1:20]) or "x"


def _of_a_header(text: str) -> str:
    """What of a text a header may have; gRPC sends nothing else."""
    return "".join(sign for sign in text if " " <= sign <= "~")[:MOST_SIGNS]


def _bearer(text: str) -> Metadata:
    return (("authorization", f"Bearer {_of_a_header(text)}"),)


def _decoded(text: str) -> list[bytes] | str:
    try:
        return [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in text.split(".")]
    except ValueError:
        return text


def approval_tokens(chance: random.Random, place: Place) -> Outcome:
    """A decision with a token that is bent, or another approval's, or with another decision."""
    approval = chance.choice(place.population.approvals)
    request = right_decision(approval)
    draw = chance.random()
    if draw < 0.7:
        request.token = (
            bent_base64(chance, approval.token) if draw < 0.5 else chance.choice((*TEXTS[:40], approval.subject_digest))
        )
    elif draw < 0.9:
        request.token = chance.choice(place.population.approvals).token
    else:
        request.decision, request.reason = chance.randrange(7), chance.choice(("", "why", "x" * 2000))
    answer = place.ask(path_of("DecideApproval"), request, place.caller(chance, "DecideApproval"))
    fault = answer.fault
    if answer.code == "OK" and request.token != approval.token:
        fault = "decided with a token that is not the approval's"
    return Outcome("DecideApproval", answer.word, told(request), fault)


def cursors(chance: random.Random, place: Place) -> Outcome:
    """A page token that is bent, or of another request; or a position in a log that is none."""
    if chance.random() < 0.35:
        return _position(chance, place)
    cursor = chance.choice(place.population.cursors)
    other = chance.choice(place.population.cursors) if chance.random() < 0.25 else cursor
    path, request = other.path, type(other.request)()
    request.CopyFrom(other.request)
    if other is cursor:
        setattr(request, other.field, bent_base64(chance, cursor.token))
        may_be_taken = _same_bytes(getattr(request, other.field), cursor.token)
    else:
        setattr(request, other.field, cursor.token)
        may_be_taken = path == cursor.path and _bare(other.request) == _bare(cursor.request)
    if other.field != "page_token" or not request.page_token:
        may_be_taken = True  # a follower may be silent whatever it was given, and without a token a list begins
    answer = place.ask(path, request, place.caller(chance, path))
    fault = answer.fault
    if answer.code in TAKEN and not may_be_taken:
        fault = fault or "a page token was taken that no server has made"
    return Outcome(call_of(path), answer.word, told(request), fault)


def _bare(request: Any) -> bytes:
    bare = type(request)()
    bare.CopyFrom(request)
    for field in ("page_token", "page_size"):
        bare.ClearField(field)
    return bytes(bare.SerializeToString(deterministic=True))


def _same_bytes(one: str, other: str) -> bool:
    """Whether a reader that passes over signs which are none of Base64 sees the same."""
    try:
        return base64.urlsafe_b64decode(one.encode("ascii")) == base64.urlsafe_b64decode(other)
    except ValueError:
        return False


def _position(chance: random.Random, place: Place) -> Outcome:
    paths = [path for path, requests in place.population.requests.items() if requests and _positions(requests[0])]
    path = chance.choice(paths)
    known = chance.choice(place.population.requests[path])
    request = type(known)()
    request.CopyFrom(known)
    field = chance.choice(_positions(request))
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        cursor = {"run": place.population.words.any_name(chance), "sequence": _int64(chance)}
        getattr(request, field.name).add(**cursor)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        setattr(request, field.name, bent_text(chance, getattr(request, field.name) or "a:1#1"))
    else:
        setattr(request, field.name, _int64(chance))
    answer: Answer = place.ask(path, request, place.caller(chance, path))
    return Outcome(call_of(path), answer.word, told(request), answer.fault)


def _positions(request: Message) -> list[FieldDescriptor]:
    words = ("sequence", "position", "cursors", "reopen", "instance")
    return [field for field in request.DESCRIPTOR.fields if field.name.endswith(words)]


def _int64(chance: random.Random) -> int:
    return max(-(2**63), min(2**63 - 1, chance.choice(NUMBERS) + chance.choice((0, 0, 3))))

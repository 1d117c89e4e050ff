"""Texts, bytes and JSON that were good, bent: a little, so that what reads them comes far, or with one extreme value."""

import base64
import copy
import random
from collections.abc import Sequence
from typing import Any, Final

TEXTS: Final = (
    "", " ", "\0", "a\0b", "\n", "a\nb", "\r\n", "\t", "-", "_", ".", "..", "../..", "/", "//", "a/b", "*", "%s%n%d",
    "a" * 128, "a" * 129, "a" * 1024, "a" * 1025, "a" * 70_000, "é" * 512, "é" * 513, "\u202eabc", "\ufeff", "\uffff",
    "\U0001f600", "e\u0301", "İ", "ß", "0", "-1", "1e999", "NaN", "null", "true", "[]", "{}", "';--", '"', "\\", "${x}",
    "{{ x }}", "{{", "}}", "{{ 1/0 }}", "perdure_flow", "latest", "runs/", "flows/x", "keys/", "runs/a/b", "\x7f",
    "\x1b[31m",
)  # fmt: skip
NUMBERS: Final = (
    0, 1, -1, 2, 7, 99, 100, 101, 500, 501, 1000, 2**31 - 1, 2**31, -(2**31), 2**32, 2**53, 2**53 + 1, 2**63 - 1,
    -(2**63), 253402300799, 253402300800, -62135596800, -62135596801, 315576000000, 315576000001, 999_999_999, 10**9,
)  # fmt: skip
ATOMS: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 1.5, -0.0, 1e308, 2**53 + 1, 2**64, 10**40, "", "a", "\0", "é" * 40, "a" * 5000, [],
    {},
    [None], {"": ""}, [[]], {"a": {"b": {"c": []}}}, "{{ x }}", "{{ inputs.n }}", "{{", "1 +", "\ud800",
)  # fmt: skip
CONTENTS: Final = (
    b"", b"null", b"{}", b"[]", b'""', b"0", b"-", b"nul", b"{", b'{"a":', b"NaN", b"Infinity", b"1e999", b"-0.0",
    b"\xff\xfe", b"\xef\xbb\xbf{}", b'"\\ud800"', b'"\\u0000"', b'{"a": 1, "a": 2}', b"9" * 5000, b"[" * 100_000,
    b"[" * 90 + b"]" * 90, b"[" * 600 + b"]" * 600, b'{"a":' * 200 + b"1" + b"}" * 200, b'"' + b"x" * 300_000 + b'"',
    b"1" + b"0" * 400, b'{"__proto__": 1}', b'{"perdure_flow": 1}', b" {} ", b"{}{}", b"\0", b'{"n": 1e400}',
)  # fmt: skip
SIGNS: Final = "abcXYZ019._-/:@#{}[]()\"' \n\t\0é\u202e\U0001f600"


def bent_text(chance: random.Random, text: str, fragments: Sequence[str] = ()) -> str:
    """A text with one thing changed."""
    at = chance.randrange(len(text) + 1)
    end = min(len(text), at + chance.choice((1, 1, 1, 2, 5, 40)))
    match chance.randrange(9):
        case 0:
            return text[:at] + text[end:]
        case 1:
            return text[:at] + chance.choice(SIGNS) + text[end:]
        case 2:
            return text[:at] + chance.choice(SIGNS) + text[at:]
        case 3:
            return text[:at] + text[at:end] * 2 + text[end:]
        case 4:
            return text[:at]
        case 5:
            return text.swapcase() if chance.random() < 0.5 else f"{text} "
        case 6 if fragments:
            return text[:at] + chance.choice(fragments) + text[at:]
        case 7 if len(text) > 1:
            other = chance.randrange(len(text))
            signs = list(text)
            signs[at - 1], signs[other] = signs[other], signs[at - 1]
            return "".join(signs)
        case _:
            return text + chance.choice(TEXTS)


def bent_bytes(chance: random.Random, content: bytes) -> bytes:
    """Bytes with one thing changed."""
    at = chance.randrange(len(content) + 1)
    match chance.randrange(6):
        case 0 if content:
            at = min(at, len(content) - 1)
            return content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]
        case 1:
            return content[:at]
        case 2:
            return content[:at] + chance.randbytes(chance.choice((1, 2, 8))) + content[at:]
        case 3:
            return content[:at] + content[at + chance.choice((1, 2, 8, 60)) :]
        case 4:
            return content + content[at:]
        case _:
            return content[:at] + bytes([chance.choice((0, 0x7F, 0x80, 0xFF))]) + content[at + 1 :]


def bent_base64(chance: random.Random, text: str) -> str:
    """A text with parts in Base64, between dots: bent in its signs, or in what it says."""
    if chance.random() < 0.5:
        return bent_text(chance, text)
    parts = text.split(".")
    at = chance.randrange(len(parts))
    try:
        content = base64.urlsafe_b64decode(parts[at] + "=" * (-len(parts[at]) % 4))
    except ValueError:
        return bent_text(chance, text)
    parts[at] = base64.urlsafe_b64encode(bent_bytes(chance, content)).decode().rstrip("=" * chance.randrange(2))
    return ".".join(parts)


def bent_json(chance: random.Random, document: Any, fragments: Sequence[Any] = ()) -> Any:
    """A document with one place changed: left out, replaced, renamed, doubled, wrapped, or with another place's content."""
    document = copy.deepcopy(document)
    places = list(_places(document))
    if not places:
        return chance.choice((*ATOMS, *fragments))
    holder, key = chance.choice(places)
    match chance.randrange(9):
        case 0:
            del holder[key]
        case 1 | 2 if fragments:
            holder[key] = copy.deepcopy(chance.choice(fragments))
        case 3 if isinstance(holder, dict):
            name = chance.choice((*(place for _, place in places if isinstance(place, str)), *TEXTS[:8]))
            holder[name] = holder.pop(key)
        case 4:
            other, there = chance.choice(places)
            holder[key] = copy.deepcopy(other[there])
        case 5:
            holder[key] = chance.choice(([holder[key]], {"a": holder[key]}, [holder[key]] * chance.choice((2, 3, 150))))
        case 6 if isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[chance.randrange(len(holder))]))
        case 7 if isinstance(holder[key], str):
            holder[key] = bent_text(chance, holder[key])
        case 8 if isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
            holder[key] = chance.choice(NUMBERS)
        case _:
            holder[key] = chance.choice(ATOMS)
    return document


def _places(document: Any) -> Any:
    if isinstance(document, dict):
        for key, value in document.items():
            yield document, key
            yield from _places(value)
    elif isinstance(document, list):
        for at, value in enumerate(document):
            yield document, at
            yield from _places(value)

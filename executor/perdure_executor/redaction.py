"""What is known to be secret here, in the forms in which it turns up, and text without it."""

import base64
import html
import json
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any, Final

MARK: Final = "[redacted]"
"""What stands in place of everything that is secret."""

FEWEST_CHARACTERS: Final = 6
"""Of a secret. A shorter one cannot be told apart from other text, so nobody could keep it out of a log."""

FEWEST_OF_A_LINE: Final = 16
"""Of a line of a secret that has several, so that it is one by itself: a key that is printed line by line is one."""

_WRAPPED: Final = (64, 76)
"""After so many characters programs break lines of base64."""

_LARGEST_NUMBER_BITS: Final = 8192
"""Of a number that may be a secret; longer ones are slow to write, and Python refuses the longest."""

_MARK: Final = MARK.encode()


class Redaction:
    """Values that are secret. Once one is known it stays so for as long as the process lives."""

    def __init__(self) -> None:
        self._adding = threading.Lock()  # functions add from threads of their own
        self._known: set[str] = set()
        self._forms: tuple[bytes, ...] = ()
        self._texts: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Redaction of {len(self._known)} values"

    def __bool__(self) -> bool:
        """Whether anything is known to be secret."""
        return bool(self._texts)

    def add(self, value: str) -> None:
        """From now on a value is secret. Raises ValueError for one that is too short to be told from other text."""
        if len(value) < FEWEST_CHARACTERS:
            raise ValueError(f"it has fewer than {FEWEST_CHARACTERS} characters")
        with self._adding:
            if value not in self._known:
                self._known.add(value)
                found = {*self._texts, *(form for form in _forms(value) if len(form) >= FEWEST_CHARACTERS)}
                self._texts = tuple(sorted(found))
                self._forms = tuple(form.encode(errors="surrogatepass") for form in self._texts)

    def text(self, text: str) -> str:
        """A text without them."""
        if not any(form in text for form in self._texts):
            return text
        return self.content(text.encode(errors="surrogatepass")).decode(errors="surrogatepass")

    def content(self, content: bytes) -> bytes:
        """The same of text as bytes, which need not be UTF-8."""
        return _without(content, self.spans(content))

    def value(self, value: Any) -> Any:
        """A JSON value without them, keys and numbers among it."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(key) if isinstance(key, str) else key: self.value(one) for key, one in value.items()}
            case list() | tuple():
                return [self.value(one) for one in value]
            case int() | float() if not isinstance(value, bool) and self._is_secret(value):
                return MARK
            case _:
                return value

    def _is_secret(self, number: float) -> bool:
        if isinstance(number, int) and number.bit_length() > _LARGEST_NUMBER_BITS:
            return False
        written = json.dumps(number)
        return self.text(written) != written

    def spans(self, content: bytes) -> list[tuple[int, int]]:
        """Where they are, in order; those that overlap are one, or what is left of one of them would stay."""
        found = sorted(span for form in self._forms if form in content for span in _all(form, content))
        merged: list[tuple[int, int]] = []
        for begin, end in found:
            if merged and begin < merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((begin, end))
        return merged

    def may_begin(self, content: bytes) -> int:
        """From where on the end of a text may be the beginning of one; its length where it is of none."""
        return min((_begins(form, content) for form in self._forms), default=len(content))


class RedactedStream:
    """A stream without what is secret, also where that is in two pieces of it."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._kept = b""

    def feed(self, piece: bytes) -> bytes:
        """What can be said of the stream by now: all but an end that may turn out to be secret."""
        content = self._kept + piece
        cut = self._redaction.may_begin(content)
        spans = self._redaction.spans(content)
        while over := [begin for begin, end in spans if begin < cut < end]:
            cut = min(over)  # what overlaps with the end may be part of something longer
        self._kept = content[cut:]
        return _without(content[:cut], [span for span in spans if span[1] <= cut])

    def rest(self) -> bytes:
        """What is left, where the stream is over."""
        kept, self._kept = self._kept, b""
        return self._redaction.content(kept)


def _without(content: bytes, spans: list[tuple[int, int]]) -> bytes:
    parts, done = [], 0
    for begin, end in spans:
        parts += [content[done:begin], _MARK]
        done = end
    return b"".join([*parts, content[done:]])


def _all(form: bytes, content: bytes) -> Iterator[tuple[int, int]]:
    at = content.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = content.find(form, at + 1)


def _begins(form: bytes, content: bytes) -> int:
    at = content.find(form[:1], max(0, len(content) - len(form) + 1))
    while at >= 0:
        if content[at : at + 8] == form[: min(8, len(content) - at)] and form.startswith(content[at:]):
            return at
        at = content.find(form[:1], at + 1)
    return len(content)


def _forms(value: str) -> Iterator[str]:
    """A value as it is, and as it stands in JSON, in a traceback, in an address, in HTML, in base64 and in hexadecimal."""
    lines = value.splitlines()
    long = (line.strip() for line in lines if len(line.strip()) >= FEWEST_OF_A_LINE) if len(lines) > 1 else ()
    for plain in (value, value.strip(), *long):
        yield plain
        yield from (json.dumps(plain, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
        yield repr(plain)[1:-1]
        yield html.escape(plain)
        raw = plain.encode(errors="surrogatepass")
        for quoted in (urllib.parse.quote(raw, safe=""), urllib.parse.quote(raw), urllib.parse.quote_plus(raw)):
            yield quoted
            yield _lower_escapes(quoted)
        yield from (raw.hex(), raw.hex().upper())
        yield from _in_base64(raw)


def _in_base64(raw: bytes) -> Iterator[str]:
    """For each place in longer content the characters that it alone decides, and those at its end; its lines, too."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before, first in ((0, 0), (1, 2), (2, 3)):
            encoded = encode(b"\0" * before + raw).decode()
            yield encoded[first : (before + len(raw)) * 8 // 6]
            yield encoded[first:].rstrip("=")
        whole = encode(raw).decode()
        for width in _WRAPPED:
            yield from (whole[at : at + width] for at in range(0, len(whole), width) if len(whole) > width)


def _lower_escapes(quoted: str) -> str:
    parts = quoted.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])

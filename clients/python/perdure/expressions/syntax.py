"""The parts of an expression, as far as it matters how much work they are. Whether it is CEL is for others to say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from perdure.expressions.functions import SHORT
from perdure.expressions.marks import MACROS, is_text
from perdure.expressions.sizes import ONE, text
from perdure.expressions.work import Call, Item, Literal, Loop, Made, Match, Operation, Part, Read
from perdure.schemas.patterns import states

MAX_BRACKETS: Final = 64
"""Most brackets inside each other."""

_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}
_SIGNS: Final = "+-*/%<>=!&|?:"

_SHORT: Final = SHORT | {"has"}

_WIDE: Final = ("\\w", "\\W", "\\D", "\\S", "\\p", "\\P")
"""What stands for thousands of characters in a pattern: each takes long to read."""

_ANY_PATTERN: Final = (100_000, 1_000_000)
"""States of a pattern that nobody knows, and steps of reading it."""


class TooNested(ValueError):
    """An expression has too many brackets inside each other."""


def parsed(marks: Sequence[str]) -> tuple[Part, int]:
    """The parts of a valid expression, and how many loops stand one inside the other. Raises TooNested."""
    parser = _Parser(marks)
    return parser.operation(""), parser.deepest


@dataclass(slots=True)
class _Parser:
    marks: Sequence[str]
    at: int = 0
    brackets: int = 0
    loops: int = 0
    deepest: int = 0

    def operation(self, closing: str) -> Part:
        """Parts with signs between them, up to a comma or what closes the bracket."""
        begin, parts, signs = self.at, list[Part](), list[str]()
        while (mark := self._mark()) and mark not in (",", closing):
            if mark in _SIGNS or (mark == "in" and parts):
                self.at += 1
                signs.append("" if mark == "+" and self._adds_a_number(begin) else mark)
            else:
                parts.append(self._postfixes(self._operand()))
        if len(parts) == 1 and not signs:
            return parts[0]
        sums = signs.count("+")
        compares = any(sign in "=<>&|!" or sign == "in" for sign in signs if sign)
        return Operation(tuple(parts), sums, "?" in signs or ":" in signs or (bool(sums) and not compares))

    def _mark(self, beyond: int = 0) -> str:
        return self.marks[self.at + beyond] if self.at + beyond < len(self.marks) else ""

    def _adds_a_number(self, begin: int) -> bool:
        """Whether there is a number beside the sign that was just passed."""
        before = self.marks[self.at - 2] if self.at - 2 >= begin else ""
        return before[:1].isdigit() or self._mark()[:1].isdigit()

    def _operand(self) -> Part:
        mark = self._mark()
        self.at += 1
        if mark in _CLOSING:
            inner = self._inside(mark)
            return (
                Made(inner, mark == "{") if mark != "(" else inner[0] if len(inner) == 1 else Operation(inner, 0, True)
            )
        if is_text(mark):
            return Literal(text(len(mark)))
        if not mark.isidentifier():
            return Literal(ONE)
        if self._mark() == "(":
            return self._call(mark, ())
        chain = [mark]
        while step := self._field():
            chain.append(step)
        return Read(tuple(chain))

    def _field(self) -> str:
        """A field that is read next; it is behind then. Empty where none is."""
        if self._mark() == "." and self._mark(1).isidentifier() and self._mark(2) != "(":
            self.at += 2
            return self._mark(-1)
        quoted = self._mark(1)
        if self._mark() == "[" and self._mark(2) == "]" and quoted[0] in "'\"" and "\\" not in quoted:
            self.at += 3
            return quoted[1:-1]
        return ""

    def _postfixes(self, part: Part) -> Part:
        while self._mark() in (".", "[", "{"):
            mark = self._mark()
            self.at += 1
            if mark != ".":
                part = Item(part, self._inside(mark))
                continue
            self.at += self._mark() == "?"
            name = self._mark()
            self.at += 1
            part = self._call(name, (part,)) if self._mark() == "(" else Item(part)
        return part

    def _inside(self, opening: str) -> tuple[Part, ...]:
        """What stands between brackets, of which the first is behind, with commas between."""
        self.brackets += 1
        if self.brackets > MAX_BRACKETS:
            raise TooNested(f"brackets stand more than {MAX_BRACKETS} deep inside each other")
        parts, closing = list[Part](), _CLOSING[opening]
        while self._mark() and self._mark() != closing:
            parts.append(self.operation(closing))
            self.at += self._mark() == ","
        self.at += 1
        self.brackets -= 1
        return tuple(parts)

    def _call(self, name: str, on: tuple[Part, ...]) -> Part:
        """A function, or a loop, whose bracket comes next."""
        self.at += 1
        variable, is_loop = self._mark(), bool(on) and name in MACROS and self._mark(1) == ","
        self.loops += is_loop
        self.deepest = max(self.deepest, self.loops)
        inside = self._inside("(")
        self.loops -= is_loop
        if is_loop:
            return Loop(on[0], variable, inside[1:], name == "filter", name in ("map", "filter"))
        parts = (*on, *inside)
        if name == "matches" and len(parts) == 2:
            return _match(*parts, self.marks[self.at - 2])
        return Call(parts, name not in _SHORT)


def _match(of: Part, pattern: Part, mark: str) -> Part:
    written = mark if mark[0] in "rR" else mark.replace("\\\\", "\0")
    if not isinstance(pattern, Literal) or not is_text(mark) or (mark[0] not in "rR" and "\\" in written):
        return Match(of, pattern, *_ANY_PATTERN)
    written = written.replace("\0", "\\")
    found = states(written)
    read = 300 + found * (5_000 if any(wide in written for wide in _WIDE) else 200)
    return Match(of, pattern, found, min(read, _ANY_PATTERN[1]))

"""Whether an expression is more than it may be: how deep its loops are, and how many steps it may take."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from perdure.expressions.marks import marks
from perdure.expressions.syntax import parsed
from perdure.expressions.work import Part, Scope

MAX_DEPTH: Final = 4
"""Most loops that stand one inside the other."""

MAX_STEPS: Final = 25_000_000
"""Most steps of an evaluation; they take about two seconds where each is as long as it can be."""

_RESULT: Final = 8
"""Steps for each part of what comes out: it is turned into JSON."""

_FEW: Final = 8
"""So many `+`, and so many commas, may stand in an expression without a loop or a pattern before anybody looks further."""


@dataclass(frozen=True, slots=True)
class Loops:
    """An expression with its loops, and how much work they are."""

    depth: int
    """Most loops that stand one inside the other; 0 where there is none."""
    harmless: bool
    """Whether it is no more work than reading what it is given a few times."""
    _whole: Part

    def steps(self, values: Mapping[str, Any] | None) -> tuple[int, int]:
        """The most steps that it takes over values by their names, and the most items that a loop goes through.

        With None, those that it takes at least where each list has an item.
        """
        scope = Scope(values)
        work = self._whole.work(scope)
        return work.steps.parts + _RESULT * work.size.parts, scope.longest


def loops(source: str) -> Loops:
    """The loops of a valid expression. Raises TooNested."""
    found = marks(source)
    whole, depth = parsed(found)
    few = found.count("+") <= _FEW and found.count(",") <= _FEW and "matches" not in found
    return Loops(depth, few and depth == 0, whole)

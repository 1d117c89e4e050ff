"""What a measurement gives, and how it is shown."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the result. `ceiling` has the value's unit and `ratio` is value / ceiling; both are None where the value
    has no ceiling."""

    store: str
    case: str
    name: str
    value: float
    unit: str
    ceiling: float | None = None
    ratio: float | None = None


def median_of(rounds: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Of rounds that gave the same figures, the median of each value and each ceiling."""
    return [_median(figures) for figures in zip(*rounds, strict=True)]


def _median(figures: Sequence[Figure]) -> Figure:
    first = figures[0]
    value = statistics.median(figure.value for figure in figures)
    ceilings = [figure.ceiling for figure in figures if figure.ceiling is not None]
    ceiling = statistics.median(ceilings) if ceilings else None
    ratio = None if not ceiling else round(value / ceiling, 4)
    rounded = None if ceiling is None else round(ceiling)
    return Figure(first.store, first.case, first.name, _rounded(value), first.unit, rounded, ratio)


def _rounded(value: float) -> float:
    return round(value) if value >= 100 else round(value, 2)


def table(figures: Sequence[Figure]) -> str:
    """The figures as lines for people."""
    lines = [f"{'STORE':12}{'CASE':18}{'FIGURE':22}{'VALUE':>12} {'UNIT':10}{'CEILING':>12}{'RATIO':>8}"]
    for figure in figures:
        ceiling = "" if figure.ceiling is None else f"{figure.ceiling:,.0f}"
        ratio = "" if figure.ratio is None else f"{figure.ratio:.3f}"
        value = f"{figure.value:,}"
        lines.append(
            f"{figure.store:12}{figure.case:18}{figure.name:22}{value:>12} {figure.unit:10}{ceiling:>12}{ratio:>8}"
        )
    return "\n".join(lines)


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile, in milliseconds."""
    ordered = sorted(seconds)
    return {
        "p50": 1000 * statistics.median(ordered),
        "p99": 1000 * ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
    }

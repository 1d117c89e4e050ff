"""Witnesses from outside: what executors and clients were told, and what the targets of effects saw.

A witness is a file of JSON objects, one a line. What a line does not need is passed over, so the log of an executor
(JSON, level debug) is a witness of acknowledgements as it is.

An acknowledgement has `run` and `sequence`, and from an executor `lease` and `ordinal`. A launch has `key`, the
idempotency key that the command was given in PERDURE_IDEMPOTENCY_KEY, and `node`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from perdure.runlog.checker import LogChecker, Violation
from perdure.runlog.rules import Rule

EXECUTORS_LINE: Final = "events.acknowledged"
"""Event of the lines in an executor's log that tell of an acknowledgement."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody was told that a run's log reached a sequence; a holder also, which ordinal of its lease was stored."""

    run_id: str
    sequence: int
    lease_id: str = ""
    ordinal: int = 0


@dataclass(frozen=True, slots=True)
class Launch:
    """The target of an effect saw it begin."""

    key: str
    node: str


def read_acknowledgements(lines: Iterable[str]) -> list[Acknowledgement]:
    """Reads a witness of acknowledgements. Raises ValueError with the number of a line that is none."""
    found = []
    for number, line in _objects(lines):
        if line.get("event", EXECUTORS_LINE) != EXECUTORS_LINE:
            continue
        run, sequence = line.get("run"), line.get("sequence")
        if not isinstance(run, str) or not isinstance(sequence, int):
            raise ValueError(f"line {number}: an acknowledgement has `run`, a string, and `sequence`, a number")
        found.append(Acknowledgement(run, sequence, line.get("lease", ""), line.get("ordinal", 0)))
    return found


def read_launches(lines: Iterable[str]) -> list[Launch]:
    """Reads a witness of launches. Raises ValueError with the number of a line that is none."""
    found = []
    for number, line in _objects(lines):
        key, node = line.get("key"), line.get("node")
        if not isinstance(key, str) or not isinstance(node, str):
            raise ValueError(f"line {number}: a launch has `key` and `node`, both strings")
        found.append(Launch(key, node))
    return found


def _objects(lines: Iterable[str]) -> Iterable[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError:
            if not line.endswith("\n"):
                return  # whoever wrote it was killed in the middle of its last line
            raise ValueError(f"line {number} is not JSON") from None
        except RecursionError:
            raise ValueError(f"line {number} is nested too deep") from None
        if not isinstance(value, dict):
            raise ValueError(f"line {number} is not a JSON object")
        yield number, value


def compare_acknowledgements(logs: Mapping[str, LogChecker], witnessed: Iterable[Acknowledgement]) -> list[Violation]:
    """What was acknowledged and is not in the logs, which hold every run that a witness may name."""
    return [violation for one in witnessed if (violation := _missing(logs.get(one.run_id), one))]


def _missing(log: LogChecker | None, told: Acknowledgement) -> Violation | None:
    if log is None:
        return Violation(Rule.ACKNOWLEDGED, told.run_id, 0, "a run that was acknowledged is gone")
    if told.sequence > log.head.last_sequence:
        message = f"sequence {told.sequence} was acknowledged; the log ends at {log.head.last_sequence}"
        return Violation(Rule.ACKNOWLEDGED, told.run_id, told.sequence, message)
    stored = log.appended.get((told.lease_id, told.ordinal)) if told.ordinal else 0
    if stored is None or stored > told.sequence:
        message = f"ordinal {told.ordinal} of lease {told.lease_id} was acknowledged and is not in the log"
        return Violation(Rule.ACKNOWLEDGED, told.run_id, told.sequence, message)
    return None


def compare_launches(logs: Mapping[str, LogChecker], witnessed: Iterable[Launch]) -> list[Violation]:
    """Guarded effects that were launched more often than begun, without a stored start, or never though they are said
    to be done.

    Attempts share a key: each that failed may have been launched once. The last is asked only of nodes that the witness
    has seen at least once.
    """
    launches = list(witnessed)
    times, nodes = Counter(launch.key for launch in launches), {launch.node for launch in launches}
    attempts = Counter(begun.key for log in logs.values() for begun in log.begun.values())
    found = []
    for log in logs.values():
        for begun in log.begun.values():
            if times[begun.key] > attempts[begun.key]:
                often = f"{times[begun.key]} times in {attempts[begun.key]} attempts"
                message = f"{begun.where} was launched {often}"
                found.append(Violation(Rule.LAUNCHED, log.run_id, begun.sequence, message))
            if begun.where.node in nodes and begun.where in log.done and not times[begun.key]:
                message = f"{begun.where} is said to be done and was never launched"
                found.append(Violation(Rule.LAUNCHED, log.run_id, begun.sequence, message))
    for launch in launches:
        if launch.key not in attempts:
            message = f"{launch.node} was launched under key {launch.key}, and no stored start stands behind it"
            found.append(Violation(Rule.LAUNCHED, "", 0, message))
    return found

"""The verdict on a trial: every log by the checker, the logs against the witnesses, and what the kills landed in."""

import json
import pathlib
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from perdure.runlog.checker import LogChecker, Violation
from perdure.runlog.plans import read_plan
from perdure.runlog.rules import Rule
from perdure.runlog.states import TERMINAL, run_state
from perdure.runlog.tree import Tree
from perdure.runlog.witnesses import Acknowledgement, compare_acknowledgements, compare_launches
from perdure.v1 import run_events_pb2
from perdure.v1.instances_pb2 import OUTCOME_FAILED, Effect
from tests.chaos.evidence import Evidence, RunLog
from tests.chaos.record import Told

GUARDED = "AT_MOST_ONCE"
NOTHING = "NOTHING"
"""The window of a kill that took nothing that was under way."""


@dataclass(slots=True)
class Verdict:
    """What is to be said of a trial."""

    counts: dict[str, int]
    not_checked: list[str]
    """Witnesses that were not there."""
    violations: list[Violation]
    broken: list[str]
    windows: dict[str, dict[str, int]]
    """For each kind of program, how many of its kills landed while such work was under way."""
    shortfalls: list[str] = field(default_factory=list)
    """What the trial was to reach and did not."""
    seed: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether everything was looked at and nothing is wrong."""
        return not (self.not_checked or self.violations or self.broken or self.shortfalls)

    def write(self, path: pathlib.Path) -> None:
        """Writes it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"ok": self.ok, **asdict(self)}, indent=2) + "\n")

    def words(self) -> str:
        """What is wrong, a line each, after the seed."""
        lines = [f"seed {self.seed}: {'ok' if self.ok else 'NOT OK'}"]
        lines += [f"not checked: {witness}" for witness in self.not_checked]
        lines += [f"{one.rule} {one.run_id}@{one.sequence}: {one.message}" for one in self.violations]
        return "\n".join([*lines, *self.broken, *self.shortfalls])


def judge(evidence: Evidence) -> Verdict:
    """Judges what a trial left behind."""
    checked = {log.run_id: _checked(log) for log in evidence.logs}
    violations = [violation for checker in checked.values() for violation in checker.violations]
    tree = Tree()
    for checker in checked.values():
        tree.add(checker)
    violations += tree.violations(at_rest=True)
    not_checked = []
    if evidence.acknowledgements is None:
        not_checked.append("acknowledgements that executors saw")
    else:
        violations += compare_acknowledgements(checked, evidence.acknowledgements)
    if evidence.launches is None:
        not_checked.append("launches that the ledger saw")
    else:
        violations += compare_launches(checked, evidence.launches)
    if evidence.told is None:
        not_checked.append("what callers were told")
    else:
        violations += compare_acknowledgements(
            checked, [Acknowledgement(told.run_id, told.sequence) for told in evidence.told]
        )
        violations += _unsaid(evidence.logs, evidence.told)
    windows = {"executor": _executor_windows(evidence), "control_plane": _server_windows(evidence)}
    broken = evidence.broken + [words for log in evidence.logs for words in _unfinished(log)]
    return Verdict(_counts(evidence), not_checked, violations, broken, windows)


def _checked(log: RunLog) -> LogChecker:
    checker = LogChecker(log.run_id, read_plan(log.plan.plan, log.plan.digest), log.plan.digest)
    for recorded in log.events:
        checker.take(recorded)
    checker.finish(log.run)
    return checker


def _unsaid(logs: list[RunLog], told: list[Told]) -> list[Violation]:
    events = {log.run_id: log.events for log in logs}
    return [
        Violation(Rule.ACKNOWLEDGED, one.run_id, one.sequence, f"{one.what}, says an answer; the log does not")
        for one in told
        if not any(one.says(recorded.event) for recorded in events.get(one.run_id, ()))
    ]


def _unfinished(log: RunLog) -> list[str]:
    state = run_state(log.run.state)
    if state in TERMINAL and not log.run.effects_in_doubt:
        return []
    return [f"{log.run.name} has come to no end: {state}, {log.run.effects_in_doubt} effects in doubt"]


def _executor_windows(evidence: Evidence) -> dict[str, int]:
    """For each effect, how many executors died with work of it under way, as the revocations of their leases show."""
    lost: dict[str, set[str]] = {kill.name: set() for kill in evidence.executor_kills}
    for log in evidence.logs:
        for executor, effects in _losses(log):
            if executor in lost:
                lost[executor] |= effects
    return _summed(list(lost.values()))


def _losses(log: RunLog) -> list[tuple[str, set[str]]]:
    """Executors that lost the run, each with the effects of what was under way then."""
    holder, under_way, losses = "", dict[str, str](), []
    for recorded in log.events:
        event = recorded.event
        match event.WhichOneof("kind"):
            case "lease_granted":
                holder, under_way = event.lease_granted.executor_id, {}
            case "node_started":
                under_way[str(event.node_started.instance)] = _effect(event.node_started.effect)
            case "node_settled" | "node_in_doubt" as kind:
                under_way.pop(str(getattr(event, kind).instance), None)
            case "lease_revoked" if event.lease_revoked.cause == run_events_pb2.REVOCATION_CAUSE_LAPSED:
                losses.append((holder, set(under_way.values())))
    return losses


def _server_windows(evidence: Evidence) -> dict[str, int]:
    """For each effect, how many control planes died while work of it was under way anywhere."""
    spans = [span for log in evidence.logs for span in _spans(log)]
    hit = [{effect for effect, begun, ended in spans if begun < kill.at < ended} for kill in evidence.server_kills]
    return _summed(hit)


def _spans(log: RunLog) -> list[tuple[str, float, float]]:
    """Each piece of work, with the times between which its start and its end were stored."""
    begun: dict[str, tuple[str, float]] = {}
    spans = []
    for recorded in log.events:
        event, at = recorded.event, recorded.stored_time.ToMicroseconds() / 1e6
        match event.WhichOneof("kind"):
            case "node_started":
                begun[str(event.node_started.instance)] = (_effect(event.node_started.effect), at)
            case "node_settled" | "node_in_doubt" as kind:
                started = begun.pop(str(getattr(event, kind).instance), None)
                spans += [(*started, at)] if started else []
            case "lease_revoked" | "run_ended":
                spans += [(*started, at) for started in begun.values()]
                begun.clear()
    return spans


def _summed(windows: list[set[str]]) -> dict[str, int]:
    counted = Counter(effect for window in windows for effect in (window or {NOTHING}))
    return dict(sorted(counted.items()))


def _effect(effect: Effect.ValueType) -> str:
    return Effect.Name(effect).removeprefix("EFFECT_")


def _counts(evidence: Evidence) -> dict[str, Any]:
    kinds = Counter(recorded.event.WhichOneof("kind") for log in evidence.logs for recorded in log.events)
    return {
        "executor_kills": len(evidence.executor_kills),
        "control_plane_kills": len(evidence.server_kills),
        "runs": len(evidence.logs),
        "ended": dict(Counter(run_state(log.run.state).value for log in evidence.logs)),
        "events": sum(len(log.events) for log in evidence.logs),
        "acknowledgements_seen": len(evidence.acknowledgements or ()),
        "launches_seen": len(evidence.launches or ()),
        "answers_to_callers": len(evidence.told or ()),
        "leases_revoked": kinds["lease_revoked"],
        "jumps": kinds["jumped"],
        "failed_attempts": sum(
            recorded.event.node_settled.outcome == OUTCOME_FAILED for log in evidence.logs for recorded in log.events
        ),
        **evidence.people,
    }

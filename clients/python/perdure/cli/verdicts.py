"""Verdicts of `perdure verify`: one for each rule, and every violation."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import typer

from perdure.cli.printing.formats import Format, print_document, print_rows
from perdure.cli.printing.words import counted, one_line
from perdure.runlog.checker import Violation
from perdure.runlog.rules import Rule
from perdure.runlog.tree import Tree

MEANINGS: Final = {
    Rule.SEQUENCE: "sequences count from 1 without gaps, in one run",
    Rule.ORIGIN: "holders append what is the holder's, control planes the rest",
    Rule.LEASE: "a holder's event stands under the lease that is held, at the next ordinal",
    Rule.TRANSITION: "every event can follow the log before it",
    Rule.PLAN: "every step is one that the plan allows there",
    Rule.STOPPED: "nothing begins under a stop or a hold",
    Rule.SETTLED_ONCE: "an attempt is settled at most once, after it began",
    Rule.FACT: "a fact is used once, in order, and is about what was asked",
    Rule.DIGEST: "content is what its digest says",
    Rule.STATE: "the log ends in a state that a run may rest in",
    Rule.ROW: "what the server shows of the run is what its log says",
    Rule.READABLE: "what is stored can be read",
    Rule.PROJECTION: "every table that follows from logs is what they give",
    Rule.AUDITED: "who did what, and who may, is what the audit trail says",
    Rule.TREE: "a child run is one that its parent started, and its end is told once",
    Rule.SNAPSHOT: "a snapshot is what the log folds to at its position",
    Rule.ACKNOWLEDGED: "what was acknowledged is in the log",
    Rule.LAUNCHED: "a guarded effect was launched once, and after its start was stored",
}

_NEEDS: Final = {Rule.ACKNOWLEDGED: "--acks FILE", Rule.LAUNCHED: "--launches FILE"}

OF_STORES: Final = frozenset({Rule.PROJECTION, Rule.AUDITED, Rule.SNAPSHOT})
"""Rules about what only the store itself has."""


class Verdict(StrEnum):
    """What became of a rule."""

    OK = "ok"
    VIOLATED = "violated"
    IN_PART = "checked in part"
    """A log that cannot be folded to its end is checked up to there, and rows as far back as audit events are kept."""
    NOT_CHECKED = "not checked"


@dataclass(slots=True)
class Examined:
    """What was looked at, and what was found."""

    runs: int = 0
    events: int = 0
    broken_off: int = 0
    """Logs that could not be folded to their end."""
    out_of_sight: frozenset[Rule] = frozenset()
    """Rules about what was not looked at."""
    violations: list[Violation] = field(default_factory=list)
    not_audited: int | None = None
    """Rows that are older than the audit events that are kept; None where no rows were compared with them."""
    seen: dict[Rule, int] = field(default_factory=dict)
    """For each rule that needs a witness and has one, how many of its lines are about these runs."""
    tree: Tree = field(default_factory=Tree)
    """Runs that have started others, and those."""

    def finished(self, events: int, *, whole: bool) -> None:
        """One more run was looked at; `whole` where its log was folded to its end."""
        self.runs, self.events, self.broken_off = self.runs + 1, self.events + events, self.broken_off + (not whole)

    def relate(self, *, at_rest: bool) -> None:
        """Compares parents and children. `at_rest`: read at one moment, with nothing on its way between them."""
        self.add(*self.tree.violations(at_rest=at_rest))

    def witnessed(self, rule: Rule, lines: int) -> None:
        """A witness was heard for a rule."""
        self.seen[rule] = lines

    def add(self, *violations: Violation) -> None:
        """Adds what was found."""
        self.violations.extend(violations)

    def verdict(self, rule: Rule) -> Verdict:
        """What became of a rule."""
        if any(violation.rule is rule for violation in self.violations):
            return Verdict.VIOLATED
        if rule is Rule.AUDITED:
            return self._audited
        if not self.runs or rule in self.out_of_sight or (rule in _NEEDS and not self.seen.get(rule)):
            return Verdict.NOT_CHECKED
        return Verdict.IN_PART if self.broken_off else Verdict.OK

    @property
    def _audited(self) -> Verdict:
        """Of tables, whether or not there are runs."""
        if self.not_audited is None:
            return Verdict.NOT_CHECKED
        return Verdict.IN_PART if self.not_audited else Verdict.OK

    def remark(self, rule: Rule) -> str:
        """What people should know beside the verdict."""
        broken = sum(violation.rule is rule for violation in self.violations)
        if broken:
            return counted(broken, "violation")
        if rule in self.out_of_sight:
            return "only the store itself can show it: perdure-server check"
        if rule is Rule.AUDITED and self.not_audited:
            return f"{counted(self.not_audited, 'row')} older than the audit events that are kept"
        if rule not in _NEEDS:
            return ""
        if rule not in self.seen:
            return f"no witness; give one with {_NEEDS[rule]}"
        return f"{self.seen[rule]} witnessed" if self.seen[rule] else "the witness saw nothing of these runs"


def print_verdicts(examined: Examined, format: Format) -> None:
    """Prints a line for each rule, then every violation; or all of it as one document."""
    if format is not Format.TABLE:
        print_document(_document(examined), format)
        return
    rows = [[rule, examined.verdict(rule), MEANINGS[rule], examined.remark(rule)] for rule in Rule]
    print_rows(["RULE", "VERDICT", "WHAT IT SAYS", ""], rows)
    for line in violation_lines(examined):
        typer.echo(line)
    found = len(examined.violations)
    summary = f"{counted(examined.runs, 'run')}, {counted(examined.events, 'event')}, "
    typer.echo(summary + (counted(found, "violation") if found else "no violation"), err=True)


def violation_lines(examined: Examined) -> Iterator[str]:
    """Each violation in a line: the rule, the run and the sequence, and what is wrong."""
    for violation in examined.violations:
        place = f"{violation.run_id or '(no run)'}@{violation.sequence}" if violation.sequence else violation.run_id
        yield one_line(f"{violation.rule} {place or '(no run)'}: {violation.message}")


def _document(examined: Examined) -> dict[str, object]:
    return {
        "runs": examined.runs,
        "events": examined.events,
        "rules": [{"rule": rule.value, "verdict": examined.verdict(rule).value} for rule in Rule],
        "violations": [
            {
                "rule": violation.rule.value,
                "run": f"runs/{violation.run_id}" if violation.run_id else "",
                "sequence": violation.sequence,
                "message": violation.message,
            }
            for violation in examined.violations
        ],
    }

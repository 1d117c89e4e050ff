"""Verdicts on logs: every rule has one, and what was not checked is not said to be well."""

import json

import pytest

from perdure.cli.printing.formats import Format
from perdure.cli.verdicts import MEANINGS, Examined, Verdict, print_verdicts
from perdure.runlog.checker import Violation
from perdure.runlog.rules import Rule

WITNESSED = {Rule.ACKNOWLEDGED, Rule.LAUNCHED}


def examined(*violations: Violation, whole: bool = True) -> Examined:
    found = Examined()
    found.finished(10, whole=whole)
    found.add(*violations)
    return found


def test_every_rule_is_explained() -> None:
    assert set(MEANINGS) == set(Rule)


def test_without_a_run_nothing_was_checked() -> None:
    assert {Examined().verdict(rule) for rule in Rule} == {Verdict.NOT_CHECKED}


def test_a_witness_that_saw_nothing_is_none() -> None:
    found = examined()
    found.witnessed(Rule.ACKNOWLEDGED, 0)
    found.witnessed(Rule.LAUNCHED, 3)

    assert found.verdict(Rule.ACKNOWLEDGED) is Verdict.NOT_CHECKED
    assert found.verdict(Rule.LAUNCHED) is Verdict.OK


def test_a_log_that_breaks_off_was_checked_in_part() -> None:
    found = examined(Violation(Rule.TRANSITION, "r", 4, "cannot follow"), whole=False)

    assert found.verdict(Rule.TRANSITION) is Verdict.VIOLATED
    of_logs = set(Rule) - WITNESSED - {Rule.TRANSITION, Rule.AUDITED}
    assert {found.verdict(rule) for rule in of_logs} == {Verdict.IN_PART}


@pytest.mark.parametrize(
    ("too_old", "verdict", "remark"),
    [
        (None, Verdict.NOT_CHECKED, ""),
        (0, Verdict.OK, ""),
        (2, Verdict.IN_PART, "2 rows older than the audit events that are kept"),
    ],
)
def test_tables_are_compared_as_far_back_as_audit_events_are_kept(
    too_old: int | None, verdict: Verdict, remark: str
) -> None:
    found = Examined(not_audited=too_old)

    assert (found.verdict(Rule.AUDITED), found.remark(Rule.AUDITED)) == (verdict, remark)


def test_violations_are_printed_with_their_place(capsys: pytest.CaptureFixture[str]) -> None:
    found = examined(Violation(Rule.LEASE, "r", 4, "not\nhis"), Violation(Rule.LAUNCHED, "", 0, "never stored"))

    print_verdicts(found, Format.TABLE)
    told = capsys.readouterr()
    print_verdicts(found, Format.JSON)
    document = json.loads(capsys.readouterr().out)

    assert told.out.splitlines()[-2:] == ["LEASE r@4: not his", "LAUNCHED (no run): never stored"]
    assert told.err == "1 run, 10 events, 2 violations\n"
    assert document["violations"][0] == {"rule": "LEASE", "run": "runs/r", "sequence": 4, "message": "not\nhis"}
    assert {rule["rule"] for rule in document["rules"] if rule["verdict"] == "violated"} == {"LEASE", "LAUNCHED"}

"""Executors and control planes are killed under load: nothing that was acknowledged is lost, and nothing is done twice.

The same evidence, bent in one place, must not pass: a verdict that cannot fail says nothing.
"""

import asyncio
import copy
import pathlib
import secrets
import sys
from collections.abc import Callable
from typing import Any

import pytest

from perdure.runlog.rules import Rule
from perdure.runlog.witnesses import Acknowledgement, Launch
from perdure.v1 import run_states_pb2
from tests.chaos.evidence import Evidence, faults_in
from tests.chaos.killer import Toll
from tests.chaos.record import Told
from tests.chaos.trial import Trial, run_trial
from tests.chaos.verdict import Verdict, judge

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def tried(request: Any, tmp_path_factory: Any) -> tuple[Evidence, Verdict]:
    """A trial, and what it was found to be. Its verdict stands in build/verdict.json."""
    given = request.config.getoption
    kills, servers = given("--executor-kills"), given("--server-kills")
    seed = secrets.randbelow(1_000_000) if given("--seed") is None else given("--seed")
    toll = Toll(kills, servers, pause=1.2)
    trial = Trial(toll, seed, guarded_windows=kills // 8)
    evidence, verdict = asyncio.run(run_trial(trial, tmp_path_factory.mktemp("chaos"), _say))
    verdict.write(pathlib.Path(request.config.rootpath) / "build" / "verdict.json")
    return evidence, verdict


def test_kills_lose_nothing_and_repeat_nothing(tried: Any) -> None:
    _, verdict = tried

    assert verdict.ok, verdict.words()


def test_every_kill_was_dealt(tried: Any, request: Any) -> None:
    _, verdict = tried

    dealt = verdict.counts["executor_kills"], verdict.counts["control_plane_kills"]
    assert dealt == (request.config.getoption("--executor-kills"), request.config.getoption("--server-kills"))
    assert all(verdict.counts[blow] > 0 for blow in ("zombies", "stalls", "dismissals"))


def _end_cut_off(evidence: Evidence) -> None:
    del evidence.logs[0].events[-1]


def _event_taken_out(evidence: Evidence) -> None:
    del evidence.logs[0].events[3]


def _event_of_a_lost_lease(evidence: Evidence) -> None:
    revoked, events = next(
        (index, log.events)
        for log in evidence.logs
        for index, recorded in enumerate(log.events)
        if recorded.event.HasField("lease_revoked")
    )
    late = next(recorded for recorded in events[revoked:] if recorded.WhichOneof("origin") == "holder")
    late.holder.lease_id = events[revoked].event.lease_revoked.lease_id


def _told_of_what_is_not_there(evidence: Evidence) -> None:
    run_id = evidence.logs[0].run_id
    evidence.acknowledgements = [*(evidence.acknowledgements or ()), Acknowledgement(run_id, 10_000)]


def _run_gone(evidence: Evidence) -> None:
    del evidence.logs[0]


def _launched_again(evidence: Evidence) -> None:
    evidence.launches = [*(evidence.launches or ()), *(evidence.launches or ())]


def _launched_before_its_start_was_stored(evidence: Evidence) -> None:
    evidence.launches = [*(evidence.launches or ()), Launch("unheard-of", "publish")]


def _never_launched(evidence: Evidence) -> None:
    evidence.launches = [launch for launch in evidence.launches or () if launch is (evidence.launches or [])[0]]


def _decision_gone(evidence: Evidence) -> None:
    unsaid = Told(
        evidence.logs[0].run_id, 1, "it was decided", lambda event: event.fact_recorded.decision.reason == "?"
    )
    evidence.told = [*(evidence.told or ()), unsaid]


@pytest.mark.parametrize(
    ("bend", "rule"),
    [
        (_end_cut_off, Rule.ROW),
        (_event_taken_out, Rule.SEQUENCE),
        (_event_of_a_lost_lease, Rule.LEASE),
        (_told_of_what_is_not_there, Rule.ACKNOWLEDGED),
        (_run_gone, Rule.ACKNOWLEDGED),
        (_launched_again, Rule.LAUNCHED),
        (_launched_before_its_start_was_stored, Rule.LAUNCHED),
        (_never_launched, Rule.LAUNCHED),
        (_decision_gone, Rule.ACKNOWLEDGED),
    ],
)
def test_bent_evidence_does_not_pass(tried: Any, bend: Callable[[Evidence], None], rule: Rule) -> None:
    bent = copy.deepcopy(tried[0])
    bend(bent)

    verdict = judge(bent)

    assert not verdict.ok
    assert rule in {violation.rule for violation in verdict.violations}


@pytest.mark.parametrize("witness", ["acknowledgements", "launches", "told"])
def test_without_a_witness_the_verdict_says_that_it_was_not_checked(tried: Any, witness: str) -> None:
    silent = copy.copy(tried[0])
    setattr(silent, witness, None)

    verdict = judge(silent)

    assert not verdict.ok
    assert len(verdict.not_checked) == 1


def test_a_run_that_has_come_to_no_end_does_not_pass(tried: Any) -> None:
    waiting = copy.deepcopy(tried[0])
    waiting.logs[0].run.state = run_states_pb2.RUN_STATE_PAUSED

    assert any("has come to no end" in words for words in judge(waiting).broken)


def test_a_program_that_ended_by_itself_does_not_pass(tried: Any) -> None:
    ended = copy.copy(tried[0])
    ended.broken = ["executor-1 ended with 1"]

    assert not judge(ended).ok


def test_what_a_program_logged_as_an_error_does_not_pass(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "executor-1.log"
    log.write_text(
        '{"event": "lease.work_end_passed", "level": "error"}\n'
        '{"event": "stream.lost", "level": "warning"}\n'
        '{"event": "events.refused", "level": "error"}\n'
        "Traceback (most recent call last):\n"
    )

    assert [words.split(": ", 1)[0] for words in faults_in([log])] == ["executor-1.log", "executor-1.log"]


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")

"""`perdure policy`: what an environment demands, set and met."""

from typing import Any

import pytest

DOUBTFUL = """
playbook_id: doubtful
version: 1.0.0
title: Doubtful
objective: Do it
nodes:
  - {id: a, type: approval, prompt: go on?}
"""


def test_a_start_that_does_not_meet_the_policy_is_refused_with_the_way_out(perdure: Any) -> None:
    version = perdure.publish(DOUBTFUL)
    perdure.done("policy", "set", "--block", "NO_ACCEPTANCE_CRITERIA", "--reason", "the auditors ask")

    told = perdure.start(version)
    shown = perdure("policy", "get")
    perdure.done("policy", "set", "--block-none")
    started = perdure.start(version)

    assert told.code == 5
    assert "NO_ACCEPTANCE_CRITERIA" in told.err
    assert "(POLICY_FORBIDS)" in told.err
    assert "perdure policy get" in told.err
    assert "blocked warnings: NO_ACCEPTANCE_CRITERIA" in shown.out
    assert "require review:   no" in shown.out
    assert "the auditors ask" in shown.out
    assert started.code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say what is to be set"),
        (("--block", "NO_PHASES", "--block-none"), "either some block or none does"),
        (("--block", "NO_SUCH_WARNING"), "EFFECT_UNSTATED"),
    ],
)
def test_what_is_asked_wrong_is_refused_with_the_way_out(perdure: Any, arguments: tuple[str, ...], said: str) -> None:
    told = perdure("policy", "set", *arguments)

    assert told.code == 2
    assert said in told.err

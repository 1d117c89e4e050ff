"""What people decide, as the log holds it and as expressions read it."""

from typing import Any

import pytest

from perdure.runlog.decisions import decision_faults, decision_kind, output_of, told
from perdure.v1 import approval_facts_pb2, decisions_pb2

ASKED = approval_facts_pb2.ApprovalWait(
    approval_id="a", subject_digest=b"s", allowed=decisions_pb2.DecisionKind.values()[1:], options=["one", "two"]
)


TWO = approval_facts_pb2.ApprovalWait()
TWO.CopyFrom(ASKED)
TWO.quorum = 2


def decided(kind: str, **fields: Any) -> approval_facts_pb2.Decision:
    number = decisions_pb2.DecisionKind.Value(f"DECISION_KIND_{kind}")
    said = {"approval_id": "a", "subject_digest": b"s", "kind": number, "decider": "ada", **fields}
    return approval_facts_pb2.Decision(**said)


@pytest.mark.parametrize(
    "decision",
    [
        decided("APPROVED"),
        decided("REJECTED"),
        decided("EDITED", content_digest=b"c"),
        decided("PROVIDED", content_digest=b"c"),
        decided("SELECTED", selected_option="two"),
    ],
    ids=lambda decision: str(decision.kind),
)
def test_a_decision_that_says_what_it_needs_is_sound(decision: approval_facts_pb2.Decision) -> None:
    assert list(decision_faults(decision, ASKED)) == []


@pytest.mark.parametrize(
    "decision",
    [
        decided("APPROVED", approval_id="b"),
        decided("APPROVED", subject_digest=b"t"),
        decided("APPROVED", content_digest=b"c"),
        decided("APPROVED", selected_option="one"),
        decided("EDITED"),
        decided("PROVIDED"),
        decided("SELECTED"),
        decided("SELECTED", selected_option="three"),
        decided("SELECTED", selected_option="one", content_digest=b"c"),
    ],
    ids=str,
)
def test_a_decision_about_something_else_or_without_what_it_needs_is_a_fault(
    decision: approval_facts_pb2.Decision,
) -> None:
    assert len(list(decision_faults(decision, ASKED))) == 1


def voted(*votes: tuple[str, str], kind: str = "APPROVED") -> approval_facts_pb2.Decision:
    """A decision by the last of these voters, each with what that one said."""
    cast = [approval_facts_pb2.Vote(voter=voter, kind=decision_kind(said)) for voter, said in votes]
    return decided(kind, votes=cast, decider=votes[-1][0], authenticated=True)


BOTH = voted(("ada", "approved"), ("bob", "approved"))


@pytest.mark.parametrize(
    "decision",
    [
        voted(("ada", "approved"), ("bob", "approved")),
        voted(("ada", "selected"), ("bob", "approved"), ("cy", "approved")),
        voted(("ada", "approved"), ("bob", "rejected"), kind="REJECTED"),
    ],
    ids=["two of two", "two of three", "one who rejects"],
)
def test_a_decision_that_enough_people_have_voted_for_is_sound(decision: approval_facts_pb2.Decision) -> None:
    assert list(decision_faults(decision, TWO)) == []


@pytest.mark.parametrize(
    ("decision", "asked"),
    [
        (voted(("ada", "approved")), "TWO"),
        (voted(("ada", "selected"), ("bob", "approved")), "TWO"),
        (voted(("ada", "approved"), ("ada", "approved")), "TWO"),
        (decided("APPROVED"), "TWO"),
        (voted(("ada", "rejected"), ("bob", "rejected")), "TWO"),
        (decided("APPROVED", votes=BOTH.votes, decider="bob"), "TWO"),
        (voted(("ada", "approved")), "ONE"),
        (decided("APPROVED", votes=BOTH.votes, decider="cy", authenticated=True), "TWO"),
    ],
    ids=[
        "one of two",
        "of two minds",
        "one twice",
        "no votes",
        "another than was voted for",
        "nobody knew them",
        "a vote where one was asked",
        "not the last voter's",
    ],
)
def test_a_decision_that_too_few_have_voted_for_is_a_fault(decision: approval_facts_pb2.Decision, asked: str) -> None:
    assert len(list(decision_faults(decision, TWO if asked == "TWO" else ASKED))) == 1


def test_votes_are_told_with_the_decision() -> None:
    (first, last) = told(voted(("ada", "approved"), ("bob", "approved")))["votes"]

    assert (first["voter"], first["decision"], last["voter"]) == ("ada", "approved", "bob")


GOES_ON = approval_facts_pb2.ApprovalWait()
GOES_ON.CopyFrom(TWO)
GOES_ON.on_timeout = decisions_pb2.ON_TIMEOUT_CONTINUE


@pytest.mark.parametrize(
    ("decision", "asked", "sound"),
    [
        (decided("APPROVED", automatic=True, decider="system"), GOES_ON, True),
        (decided("APPROVED", automatic=True, decider="ada"), GOES_ON, False),
        (decided("REJECTED", automatic=True, decider="system"), GOES_ON, False),
        (decided("SELECTED", automatic=True, selected_option="one", decider="system"), GOES_ON, False),
        (decided("APPROVED", automatic=True, decider="system"), ASKED, False),
    ],
    ids=["as asked", "by a person", "rejected", "another than asked", "where somebody was to decide"],
)
def test_only_what_was_asked_for_is_decided_by_nobody(
    decision: approval_facts_pb2.Decision, asked: approval_facts_pb2.ApprovalWait, sound: bool
) -> None:
    assert (list(decision_faults(decision, asked)) == []) is sound
    assert told(decision)["automatic"]


def test_a_decision_that_was_not_allowed_is_a_fault() -> None:
    asked = approval_facts_pb2.ApprovalWait(approval_id="a", subject_digest=b"s", allowed=[1])

    assert list(decision_faults(decided("REJECTED"), asked)) == ["a decision that was not allowed"]


def test_what_is_told_of_a_decision_says_who_when_why_and_which_option() -> None:
    decision = decided("SELECTED", selected_option="two", reason="cheaper")
    decision.decide_time.FromJsonString("2026-01-02T03:04:05Z")

    assert told(decision) == {
        "decision": "selected",
        "decider": "ada",
        "decided_at": "2026-01-02T03:04:05Z",
        "reason": "cheaper",
        "selected_option": "two",
    }


def test_an_edit_takes_the_place_of_what_had_its_key_and_leaves_the_subject_as_it_was_frozen() -> None:
    output = output_of(decided("EDITED"), b'{"subject":{"report":"old"}}', b'"new"', "report")

    assert (output["report"], output["subject"]) == ("new", {"report": "old"})


def test_without_content_nothing_has_its_key() -> None:
    assert "report" not in output_of(decided("APPROVED"), b'{"subject":{"report":"old"}}', b"", "report")

"""What people decide, as the log holds it and as expressions read it."""

from typing import Any

import pytest

from perdure.runlog.decisions import decision_faults, output_of, told
from perdure.v1 import decisions_pb2, fact_events_pb2

ASKED = fact_events_pb2.ApprovalWait(
    approval_id="a", subject_digest=b"s", allowed=decisions_pb2.DecisionKind.values()[1:], options=["one", "two"]
)


def decided(kind: str, **fields: Any) -> fact_events_pb2.Decision:
    number = decisions_pb2.DecisionKind.Value(f"DECISION_KIND_{kind}")
    said = {"approval_id": "a", "subject_digest": b"s", "kind": number, "decider": "ada", **fields}
    return fact_events_pb2.Decision(**said)


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
def test_a_decision_that_says_what_it_needs_is_sound(decision: fact_events_pb2.Decision) -> None:
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
    decision: fact_events_pb2.Decision,
) -> None:
    assert len(list(decision_faults(decision, ASKED))) == 1


def test_a_decision_that_was_not_allowed_is_a_fault() -> None:
    asked = fact_events_pb2.ApprovalWait(approval_id="a", subject_digest=b"s", allowed=[1])

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

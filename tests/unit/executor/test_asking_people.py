"""What work may ask people, and what it is told."""

from typing import Any

import pytest

from perdure.encryption.codec import Codec
from perdure.runlog.node_walk import Answer
from perdure.v1 import approval_facts_pb2, decisions_pb2, fact_events_pb2
from perdure_executor.asking import Asking, NoAnswer, PersonAsked, Unanswered
from perdure_executor.question import CannotAsk
from perdure_executor.redaction import Redaction

SELECTED, PROVIDED = decisions_pb2.DECISION_KIND_SELECTED, decisions_pb2.DECISION_KIND_PROVIDED


def answered(name: str, kind: Any, content: bytes = b"", option: str = "") -> Answer:
    decision = approval_facts_pb2.Decision(kind=kind, selected_option=option, decider="keys/ada", reason="so")
    return Answer(name, fact_events_pb2.FactRecorded(decision=decision), content)


@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        ({"prompt": " "}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"options": ["a", "b"], "schema": {}}, "schema"),
        ({"options": []}, "options"),
        ({"options": ["a", "a"]}, "options"),
        ({"options": "yes"}, "options"),
        ({"options": {"a": 1, "b": 2}}, "options"),
        ({"options": [str(number) for number in range(101)]}, "options"),
        ({"schema": {"type": "no such"}}, "schema"),
        ({"default": "a"}, "default"),
        ({"assignees": [""]}, "assignees"),
        ({"assignees": "role:reviewer"}, "assignees"),
        ({"assignees": ["role:nobody"]}, "assignees"),
        ({"four_eyes": ["nobody"]}, "four_eyes"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": "5"}, "timeout"),
        ({"name": "x" * 129}, "name"),
        ({"name": 3}, "name"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_argument(wrong: dict[str, Any], argument: str) -> None:
    asking = Asking()

    with pytest.raises(CannotAsk, match=rf"^{argument}: "):
        asking(**{"prompt": "Which?", **wrong})

    assert asking.ended is None


@pytest.mark.parametrize("names", [("", ""), ("n", "n")])
def test_one_answer_is_not_taken_for_two_questions(names: tuple[str, str]) -> None:
    first = Asking()
    with pytest.raises(PersonAsked) as asked:
        first("Delete it?", options=["yes", "no"], name=names[0])
    asking = Asking([answered(asked.value.question.name, SELECTED, option="yes")])

    told = asking("Delete it?", options=["yes", "no"], name=names[0])

    assert told == "yes"
    with pytest.raises(CannotAsk, match=r"^name: "):
        asking("Delete it?", options=["yes", "no"], name=names[1])


@pytest.mark.parametrize(
    ("answer", "asks"),
    [
        (answered("n", SELECTED, option="yes"), {"schema": {"type": "integer"}}),
        (answered("n", SELECTED, option="yes"), {"options": ["left", "right"]}),
        (answered("n", PROVIDED, b'"whatever"'), {"options": ["left", "right"]}),
        (answered("n", PROVIDED, b'"whatever"'), {"schema": {"type": "integer"}}),
    ],
)
def test_an_answer_to_something_else_is_passed_over(answer: Answer, asks: dict[str, Any]) -> None:
    with pytest.raises(PersonAsked):
        Asking([answer])("Which?", name="n", **asks)


def test_the_last_answer_counts_and_a_refusal_is_told() -> None:
    said = [answered("n", PROVIDED, b"7"), answered("n", decisions_pb2.DECISION_KIND_REJECTED)]

    with pytest.raises(Unanswered, match="keys/ada does not answer: so") as refused:
        Asking(said)("Which?", name="n", schema={"type": "integer"})

    assert refused.value.reason is NoAnswer.REJECTED


@pytest.mark.parametrize(
    "where",
    [
        {"name": "about open-sesame"}, {"assignees": ["keys/open-sesame"]}, {"options": ["open-sesame", "other"]},
        {"schema": {"const": "open-sesame"}}, {"schema": {"type": "object", "properties": {"open-sesame": {}}}},
    ],
)  # fmt: skip
def test_what_goes_out_as_it_is_may_not_hold_what_is_secret(where: dict[str, Any]) -> None:
    redaction = Redaction()
    redaction.add("open-sesame")

    with pytest.raises(CannotAsk) as refused:
        Asking(redaction=redaction)("Is open-sesame right?", **where)

    assert "open-sesame" not in str(refused.value)


def test_the_name_of_a_question_tells_nothing_of_what_is_secret_in_it() -> None:
    redaction, key = Redaction(), Codec({"k": bytes(32)}, "k")
    redaction.add("open-sesame")
    redaction.add("swordfish")

    def name(prompt: str, asking: Asking) -> str:
        with pytest.raises(PersonAsked) as asked:
            asking(prompt)
        return asked.value.question.name

    hidden = {name(f"Is {secret} right?", Asking(redaction=redaction)) for secret in ("open-sesame", "swordfish")}
    assert len(hidden) == 1
    assert name("Right?", Asking(codec=key)) == name("Right?", Asking(codec=key)) != name("Right?", Asking())

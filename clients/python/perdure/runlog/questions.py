"""Questions that the work of a node asks people before it goes on.

An attempt that asks is over: nobody holds an executor while people think. Its run waits as at a hold point, and when
somebody has answered, or nobody has in time, the next attempt begins and finds the answer by the question's name.
"""

from collections.abc import Iterator
from typing import Final

from perdure.runlog.intents import Record, Start
from perdure.runlog.starting import begin
from perdure.runlog.walk import Walk
from perdure.v1 import approval_facts_pb2, decisions_pb2, fact_events_pb2, instances_pb2, node_events_pb2
from perdure.v1.run_events_pb2 import RunEvent

_REJECTED: Final = decisions_pb2.DECISION_KIND_REJECTED


def after_question(walk: Walk, place: str) -> Start | Record | None:
    """What follows from a question: the wait for its answer, or the next attempt; None while that waits."""
    where, state = walk.instance(place), walk.nodes[place]
    wait = walk.waits.get(where)
    if wait is None:
        assert state.asked is not None, "nothing is asked where somebody is to answer"
        return Record(_wait(where.message(), state.asked.question, state.asked.subject))
    if not wait.fact_sequence or not walk.facts[wait.fact_sequence].taken:
        return None
    return begin(walk, place, state.visit, state.attempt + 1, state.redo)


def waits_for_answer(walk: Walk, place: str) -> bool:
    """Whether a question was asked at a place, and nothing has come for it."""
    wait = walk.waits.get(walk.instance(place))
    return wait is not None and not wait.fact_sequence


def question_faults(settlement: node_events_pb2.NodeSettled) -> Iterator[str]:
    """Whether an attempt says what it asks where it asks, and only there, and asks for one thing in one way."""
    asked = settlement.question.approval
    if (settlement.outcome == instances_pb2.OUTCOME_ASKED) != settlement.HasField("question"):
        yield "it asks and does not say what, or says what and does not ask"
    elif settlement.HasField("question"):
        if not asked.question or asked.subject_digest != settlement.output_digest:
            yield "its question has no name, or is not about what was frozen for it"
        way = decisions_pb2.DECISION_KIND_SELECTED if asked.options else decisions_pb2.DECISION_KIND_PROVIDED
        if asked.kind != decisions_pb2.APPROVAL_KIND_INPUT or list(asked.allowed) != [way, _REJECTED]:
            yield "its question is not for one of its options, or a value"
        if bool(asked.content_schema) == bool(asked.options):
            yield "its question has a schema beside options, or neither"


def _wait(
    where: instances_pb2.Instance, question: approval_facts_pb2.Question, subject: bytes
) -> tuple[RunEvent, RunEvent]:
    shown = approval_facts_pb2.WaitSubject(instance=where, canonical_json=subject)
    opened = fact_events_pb2.WaitOpened(instance=where, approval=question.approval, timeout=question.timeout)
    return RunEvent(wait_subject=shown), RunEvent(wait_opened=opened)

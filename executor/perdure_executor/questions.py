"""What the work of a node asks people, and what they have answered.

Whoever asks ends its attempt: nobody holds an executor while people think. With the answer the work begins again from its
start, and where it asks the same there, it is told.
"""

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from perdure.encryption.codec import CannotDecrypt, Codec
from perdure.runlog.decisions import ASSIGNEE_LENGTH, MAX_ASSIGNEES, decision_word
from perdure.runlog.effects import approval_id
from perdure.runlog.json_objects import JsonObject, json_bytes
from perdure.runlog.node_walk import Answer
from perdure.v1 import approval_facts_pb2, decisions_pb2, fact_events_pb2, instances_pb2
from perdure_executor.node_context import Ask, NodeContext, NodeFailure, line
from perdure_executor.results import Asked, Failed
from perdure_executor.sealing import sealed
from perdure_executor.shown import PROMPT_BYTES, canonical, evidence_so_far
from perdure_executor.untrusted_schema import UntrustedSchema

DAY: Final = 86_400.0
"""Seconds that people have for an answer where the question does not say."""

LONGEST: Final = 31_536_000.0
"""Most seconds that they may have: a year."""

MOST_QUESTIONS: Final = 100
"""Questions that the work of one node may ask while the run stands at it."""

MOST_OPTIONS: Final = 100

NAME_LENGTH: Final = 128
"""Characters of the longest name of a question, or of an option."""


class NoAnswer(StrEnum):
    """Why there is none."""

    REJECTED = "REJECTED"
    """Somebody refuses to answer."""
    EXPIRED = "EXPIRED"
    """Nobody has in time."""
    WITHDRAWN = "WITHDRAWN"
    INVALID = "INVALID"
    """It is encrypted, and does not fit the schema."""


class Unanswered(NodeFailure):
    """Nobody has answered. Who does not catch it fails the node with its message."""

    def __init__(self, reason: NoAnswer, message: str) -> None:
        super().__init__(message)
        self.reason: Final = reason


class AnswerUnreadable(Exception):
    """An answer is encrypted, and there is no key for it here."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question: for one of its options, or, where it has none, for a value that fits its schema."""

    name: str
    prompt: str
    options: Mapping[str, str]
    """What each option says, by id."""
    schema: JsonObject | None
    default: str
    """The option that is taken where nobody answers in time; empty where that is no answer."""
    assignees: tuple[str, ...]
    timeout: float
    """Seconds that people have."""

    @property
    def fitting(self) -> JsonObject:
        """What a value must fit that is the answer."""
        return {"type": "string"} if self.schema is None else self.schema


class PersonAsked(BaseException):
    """Ends work that asks a person. Nothing that catches what goes wrong catches it."""

    def __init__(self, question: Question) -> None:
        super().__init__(question.name)
        self.question: Final = question


@dataclass(slots=True)
class Asking:
    """Asks people, in the name of one attempt, or gives what they have answered."""

    answers: Sequence[Answer] = ()
    codec: Codec = field(default_factory=Codec)

    def __call__(
        self,
        prompt: str,
        *,
        options: Mapping[str, str] | Iterable[str] | None = None,
        schema: JsonObject | None = None,
        name: str = "",
        default: str = "",
        assignees: Iterable[str] = (),
        timeout: float = DAY,
    ) -> Any:
        """Asks a person, and returns what that one has answered.

        With `options` (ids, or ids and what they say), it returns the id of the one that was selected, and `default`
        where nobody has answered within `timeout` seconds; otherwise the value that was provided, which fits the JSON
        `schema` (a text where there is none). `assignees` are principals, and roles as `role:reviewer`; without them
        everybody whose role decides is asked. The answer belongs to the question's `name`, for as long as the run stands
        at the node, also where another attempt begins; without one, to what is asked.

        The call ends this attempt of the node, which begins again from its start once there is an answer: ask before
        anything is changed. It raises Unanswered where somebody refuses to answer, nobody does in time, or the question
        is withdrawn, and ValueError for what cannot be asked.
        """
        question = _question(prompt, options, schema, name, default, tuple(assignees), timeout)
        answer = next((answer for answer in self.answers if answer.question == question.name), None)
        if answer is not None:
            return _told(answer, question, self.codec)
        if len(self.answers) >= MOST_QUESTIONS:
            raise ValueError(f"a node asks at most {MOST_QUESTIONS} questions, and this would be another one")
        raise PersonAsked(question)


def asking(context: NodeContext) -> Asking:
    """What asks people for an attempt, with what they have answered in the present visit of its node."""
    state = context.walk.nodes[context.instance.place]
    answers = state.answers if state.visit == context.instance.visit else ()
    return Asking(answers, context.equipment.codec)


def ended_by(context: NodeContext, ended: PersonAsked | AnswerUnreadable) -> Asked | Failed:
    """What an attempt has come to that asked."""
    if isinstance(ended, PersonAsked):
        return _asked(context, ended.question)
    return Failed(instances_pb2.FAILURE_CAUSE_CANNOT_DECRYPT, line(str(ended)))


def _asked(context: NodeContext, question: Question) -> Asked | Failed:
    """The end of an attempt that asks: what is asked, frozen, and without what is secret."""
    redacted = context.equipment.secrets.redaction.text
    shown = _shown(context, question, redacted(question.prompt), {k: redacted(v) for k, v in question.options.items()})
    subject = canonical(shown, context.equipment.max_payload_bytes)
    if isinstance(subject, Failed):
        return subject
    wait = fact_events_pb2.WaitOpened(
        instance=context.instance.message(), approval=_approval(context, question, shown, subject)
    )
    wait.timeout.FromMicroseconds(round(question.timeout * 1e6))
    ready = sealed(context, Ask(subject, wait))
    if not isinstance(ready, Ask):
        assert isinstance(ready, Failed)
        return ready
    return Asked(approval_facts_pb2.Question(approval=ready.wait.approval, timeout=ready.wait.timeout), ready.subject)


def _question(
    prompt: str,
    options: Mapping[str, str] | Iterable[str] | None,
    schema: JsonObject | None,
    name: str,
    default: str,
    assignees: tuple[str, ...],
    timeout: float,
) -> Question:
    """Raises ValueError."""
    ways = dict(options) if isinstance(options, Mapping) else dict.fromkeys(options or (), "")
    if not prompt.strip():
        raise ValueError("prompt: a question says what it asks")
    if ways and schema is not None:
        raise ValueError("schema: is for a question without options")
    if schema is not None and (fault := _unusable(schema)):
        raise ValueError(f"schema: {fault}")
    if len(ways) > MOST_OPTIONS or not all(0 < len(option) <= NAME_LENGTH for option in ways):
        raise ValueError(f"options: are at most {MOST_OPTIONS}, with ids of at most {NAME_LENGTH} characters")
    if default and default not in ways:
        raise ValueError(f"default: {default!r} is none of the options")
    if len(assignees) > MAX_ASSIGNEES or not all(_is_name(one, ASSIGNEE_LENGTH) for one in assignees):
        raise ValueError(f"assignees: are at most {MAX_ASSIGNEES} principals, or roles as role:reviewer")
    if not 0 < timeout <= LONGEST:
        raise ValueError(f"timeout: is more than 0 and at most {LONGEST:.0f} seconds")
    if name and not _is_name(name, NAME_LENGTH):
        raise ValueError(f"name: has at most {NAME_LENGTH} characters on one line")
    derived = hashlib.sha256(json_bytes([prompt, ways, schema])).hexdigest()[:16]
    return Question(name or derived, prompt, ways, schema, default, assignees, float(timeout))


def _unusable(schema: JsonObject) -> str:
    unusable = "cannot be used"
    fault = UntrustedSchema(schema).fault(None)
    return fault if unusable in fault else ""


def _is_name(text: str, most: int) -> bool:
    return 0 < len(text) <= most and text.isprintable()


def _shown(context: NodeContext, question: Question, prompt: str, options: Mapping[str, str]) -> JsonObject:
    effect = instances_pb2.Effect.Name(context.node.effect).removeprefix("EFFECT_").lower()
    shown: JsonObject = {
        "allowed": [decision_word(kind) for kind in _allowed(question)],
        "assignees": list(question.assignees),
        "bindings_digest": hashlib.sha256(json_bytes(context.see())).hexdigest(),
        "effects": [{"effect": effect, "node": context.node.id}],
        "evidence": evidence_so_far(context),
        "four_eyes": ["not_starter"],
        "instance": str(context.instance),
        "kind": "input",
        "on_timeout": "continue" if question.default else "fail",
        "prompt": prompt,
        "question": question.name,
        "quorum": 1,
        "run": f"runs/{context.run_id}",
        "subject": {},
    }
    if options:
        shown["options"] = [{"id": key, "label": label} if label else {"id": key} for key, label in options.items()]
    else:
        shown["content_schema"] = question.fitting
    return shown | ({"default_option": question.default} if question.default else {})


def _approval(
    context: NodeContext, question: Question, shown: JsonObject, subject: bytes
) -> approval_facts_pb2.ApprovalWait:
    fails, goes_on = decisions_pb2.ON_TIMEOUT_FAIL, decisions_pb2.ON_TIMEOUT_CONTINUE
    return approval_facts_pb2.ApprovalWait(
        approval_id=approval_id(context.run_id, context.instance),
        subject_digest=hashlib.sha256(subject).digest(),
        allowed=_allowed(question),
        kind=decisions_pb2.APPROVAL_KIND_INPUT,
        options=question.options,
        four_eyes=[decisions_pb2.FOUR_EYES_NOT_STARTER],
        assignees=question.assignees,
        quorum=1,
        on_timeout=goes_on if question.default else fails,
        default_option=question.default,
        nonce=secrets.token_hex(16),
        prompt=shown["prompt"].encode()[:PROMPT_BYTES].decode("utf-8", errors="ignore"),
        question=question.name,
        content_schema=json_bytes(shown["content_schema"]) if "content_schema" in shown else b"",
    )


def _allowed(question: Question) -> list[decisions_pb2.DecisionKind.ValueType]:
    way = decisions_pb2.DECISION_KIND_SELECTED if question.options else decisions_pb2.DECISION_KIND_PROVIDED
    return [way, decisions_pb2.DECISION_KIND_REJECTED]


def _told(answer: Answer, question: Question, codec: Codec) -> Any:
    """What was answered. Raises Unanswered, AnswerUnreadable."""
    match answer.recorded.WhichOneof("fact"):
        case "approval_withdrawn":
            reason = answer.recorded.approval_withdrawn.reason
            raise Unanswered(NoAnswer.WITHDRAWN, f"the question was withdrawn{': ' if reason else ''}{reason}")
        case "wait_expired":
            raise Unanswered(NoAnswer.EXPIRED, "nobody answered in time")
    decision = answer.recorded.decision
    if decision.kind == decisions_pb2.DECISION_KIND_REJECTED:
        raise Unanswered(NoAnswer.REJECTED, f"{decision.decider} does not answer: {decision.reason}")
    if decision.kind == decisions_pb2.DECISION_KIND_SELECTED:
        return decision.selected_option
    try:
        value = codec.read(answer.content)
    except CannotDecrypt as error:
        raise AnswerUnreadable(f"what was answered cannot be opened: {error}") from error
    # Of what is encrypted the server could not tell.
    if fault := UntrustedSchema(question.fitting).fault(value):
        raise Unanswered(NoAnswer.INVALID, f"the answer of {decision.decider} is not what was asked for: {fault}")
    return value

"""How work asks people, and is told what they have answered.

Whoever asks ends its attempt: nobody holds an executor while people think. With the answer the work begins again from its
start, and where it asks the same there, it is told.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from perdure.encryption.codec import CannotDecrypt, Codec
from perdure.runlog.json_objects import JsonObject, json_bytes
from perdure.runlog.node_walk import Answer
from perdure.v1 import decisions_pb2
from perdure_executor.node_context import NodeFailure
from perdure_executor.question import DAY, NOT_STARTER, CannotAsk, Question, question_of
from perdure_executor.redaction import Redaction
from perdure_executor.untrusted_schema import UntrustedSchema

MOST_QUESTIONS: Final = 100
"""Questions that the work of one node may ask while the run stands at it."""


class NoAnswer(StrEnum):
    """Why there is none."""

    REJECTED = "REJECTED"
    """Somebody refuses to answer."""
    EXPIRED = "EXPIRED"
    """Nobody has in time."""
    WITHDRAWN = "WITHDRAWN"


class Unanswered(NodeFailure):
    """Nobody has answered. Who does not catch it fails the node as a hold point fails of which the same became."""

    def __init__(self, reason: NoAnswer, message: str) -> None:
        super().__init__(message)
        self.reason: Final = reason


class AnswerUnreadable(Exception):
    """An answer is encrypted, and there is no key for it here."""


class PersonAsked(BaseException):
    """Ends work that asks a person, past whatever catches what goes wrong."""

    def __init__(self, question: Question) -> None:
        super().__init__(question.name)
        self.question: Final = question


@dataclass(slots=True)
class Asking:
    """Asks people, in the name of one attempt, or gives what they have answered."""

    answers: Sequence[Answer] = ()
    codec: Codec = field(default_factory=Codec)
    redaction: Redaction = field(default_factory=Redaction)
    ended: PersonAsked | AnswerUnreadable | None = None
    """What the attempt ended with, whatever became of that in the work: tasks and threads may keep it to themselves."""
    _names: set[str] = field(default_factory=set)
    """Of the questions that this attempt has asked, answered or not."""

    def __call__(
        self,
        prompt: str,
        *,
        options: Mapping[str, str] | Iterable[str] | None = None,
        schema: JsonObject | None = None,
        name: str = "",
        default: str = "",
        assignees: Iterable[str] = (),
        four_eyes: Iterable[str] = (NOT_STARTER,),
        timeout: float = DAY,
    ) -> Any:
        """Asks a person, and returns what that one has answered.

        With `options` (ids, or ids and what they say), it returns the id of the one that was selected, and `default`
        where nobody has answered within `timeout` seconds; otherwise the value that was provided, which fits the JSON
        `schema` (a text where there is none). `assignees` are principals, and roles as `role:reviewer`; without them
        everybody whose role decides is asked, but for those of `four_eyes`: `not_starter`, `not_author`. The answer
        belongs to the question's `name`, for as long as the run stands at the node, also where another attempt begins;
        without one, to what is asked. An answer that is none to what is asked now is passed over, and it is asked anew.

        The call ends this attempt of the node, which begins again from its start once there is an answer: ask before
        anything is changed. It raises Unanswered where somebody refuses to answer, nobody does in time, or the question
        is withdrawn, and CannotAsk for what cannot be asked.
        """
        given: dict[str, Any] = {"options": options, "schema": schema, "name": name, "default": default}
        given |= {"assignees": assignees, "four_eyes": four_eyes, "timeout": timeout}
        question = self._named(question_of(prompt, given, self.redaction))
        answers = [answer for answer in self.answers if answer.question == question.name]
        if answers and not self._is_unfit(answers[-1], question):
            return self._told(answers[-1])
        if len(self.answers) >= MOST_QUESTIONS:
            raise CannotAsk(f"prompt: a node asks at most {MOST_QUESTIONS} questions, and this would be another one")
        self.ended = self.ended or PersonAsked(question)
        raise self.ended

    def _named(self, question: Question) -> Question:
        """The question with a name, made of what it asks where it has none. Raises CannotAsk for one asked before."""
        name = question.name or self._name_of(question)
        if name in self._names:
            raise CannotAsk(
                "name: this attempt has asked it before, or what reads the same; give each a name of its own"
            )
        self._names.add(name)
        return replace(question, name=name)

    def _name_of(self, question: Question) -> str:
        asks = [self.redaction.value([question.prompt, dict(question.options)]), question.schema]
        # Encrypted, so that nobody finds out by trying what was asked.
        return hashlib.sha256(json_bytes(self.codec.sealed(asks))).hexdigest()[:16]

    def _is_unfit(self, answer: Answer, question: Question) -> bool:
        """Whether it answers something else than is asked now, or, encrypted, what the server could not look at."""
        decision = answer.recorded.decision
        match decision.kind:
            case decisions_pb2.DECISION_KIND_SELECTED:
                return decision.selected_option not in question.options
            case decisions_pb2.DECISION_KIND_PROVIDED:
                return bool(question.options or UntrustedSchema(question.fitting).fault(self._read(answer)))
            case _:
                return False

    def _told(self, answer: Answer) -> Any:
        """What was answered. Raises Unanswered."""
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
        return self._read(answer)

    def _read(self, answer: Answer) -> Any:
        """Raises AnswerUnreadable."""
        try:
            return self.codec.read(answer.content)
        except CannotDecrypt as error:
            unreadable = AnswerUnreadable(f"what was answered cannot be opened: {error}")
            self.ended = self.ended or unreadable
            raise unreadable from error

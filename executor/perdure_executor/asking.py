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
from perdure.runlog.decisions import ASSIGNEE_LENGTH, MAX_ASSIGNEES, ROLE
from perdure.runlog.json_objects import JsonObject, json_bytes
from perdure.runlog.node_walk import Answer
from perdure.v1 import decisions_pb2
from perdure.v1.roles_pb2 import Role
from perdure_executor.node_context import NodeFailure
from perdure_executor.redaction import Redaction
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

NOT_STARTER: Final = "not_starter"
_RULES: Final = frozenset({NOT_STARTER, "not_author"})
_ROLES: Final = frozenset(name.removeprefix("ROLE_").lower() for name in Role.keys()[1:])


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


class CannotAsk(NodeFailure, ValueError):
    """What is to be asked cannot be asked. The message begins with the argument at fault."""


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
    four_eyes: tuple[str, ...]
    """Who may not answer."""
    timeout: float
    """Seconds that people have."""

    @property
    def fitting(self) -> JsonObject:
        """What a value must fit that is the answer."""
        return {"type": "string"} if self.schema is None else self.schema

    @property
    def in_plain(self) -> list[Any]:
        """What of it goes out as it is: everything but its prompt, and what its options say."""
        return [self.name, list(self.options), self.schema, list(self.assignees)]


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
        _check_types(prompt, name, default, timeout)
        ways = _ways(options)
        given = Question(name, prompt, ways, schema, default, _texts(assignees, "assignees"), tuple(four_eyes), timeout)
        question = self._named(_checked(given, self.redaction))
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


def _check_types(prompt: Any, name: Any, default: Any, timeout: Any) -> None:
    """Raises CannotAsk."""
    for argument, text in (("prompt", prompt), ("name", name), ("default", default)):
        if not isinstance(text, str) or (not text.isascii() and text != text.encode(errors="replace").decode()):
            raise CannotAsk(f"{argument}: is a text")
    if not isinstance(timeout, int | float):
        raise CannotAsk("timeout: is a number of seconds")


def _ways(options: Mapping[str, str] | Iterable[str] | None) -> dict[str, str]:
    """What each option says, by id. Raises CannotAsk."""
    if options is None:
        return {}
    if isinstance(options, Mapping):
        _texts((*options, *options.values()), "options")
        ways = dict(options)
    else:
        ways = dict.fromkeys(_texts(options, "options"), "")
    if len(ways) < 2:
        raise CannotAsk("options: are two at least; leave them out for an answer in words")
    return ways


def _texts(given: Iterable[str], argument: str) -> tuple[str, ...]:
    texts = () if isinstance(given, str) else tuple(given)
    if isinstance(given, str) or not all(isinstance(one, str) for one in texts):
        raise CannotAsk(f"{argument}: is a list of texts")
    return texts


def _checked(question: Question, redaction: Redaction) -> Question:
    """Raises CannotAsk."""
    for argument, fault in _faults(question, redaction):
        raise CannotAsk(f"{argument}: {fault}")
    return question


def _faults(question: Question, redaction: Redaction) -> Iterable[tuple[str, str]]:
    ways, schema = question.options, question.schema
    if not question.prompt.strip():
        yield "prompt", "a question says what it asks"
    if ways and schema is not None:
        yield "schema", "is for a question without options"
    if schema is not None and (fault := _unusable(schema)):
        yield "schema", fault
    if len(ways) > MOST_OPTIONS or not all(_is_name(option, NAME_LENGTH) for option in ways):
        yield "options", f"are at most {MOST_OPTIONS}, with ids of at most {NAME_LENGTH} characters on one line"
    if question.default and question.default not in ways:
        yield "default", f"{question.default!r} is none of the options"
    if len(question.assignees) > MAX_ASSIGNEES or not all(map(_is_assignee, question.assignees)):
        yield "assignees", f"are at most {MAX_ASSIGNEES} principals, or roles as role:reviewer"
    if not _RULES.issuperset(question.four_eyes):
        yield "four_eyes", f"knows {', '.join(sorted(_RULES))}"
    if not 0 < question.timeout <= LONGEST:
        yield "timeout", f"is more than 0 and at most {LONGEST:.0f} seconds"
    if question.name and not _is_name(question.name, NAME_LENGTH):
        yield "name", f"has at most {NAME_LENGTH} characters on one line"
    if redaction and redaction.value(question.in_plain) != question.in_plain:
        yield "prompt", "only this, and what options say, may hold what is secret; the rest goes out as it is"


def _unusable(schema: JsonObject) -> str:
    fault = UntrustedSchema(schema).fault(None)
    return fault if "cannot be used" in fault else ""


def _is_assignee(text: str) -> bool:
    if not _is_name(text, ASSIGNEE_LENGTH):
        return False
    return not text.startswith(ROLE) or text.removeprefix(ROLE) in _ROLES


def _is_name(text: str, most: int) -> bool:
    return 0 < len(text) <= most and text.isprintable()

"""One question that work asks people, and what may be asked at all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from perdure.runlog.decisions import ASSIGNEE_LENGTH, MAX_ASSIGNEES, PRINCIPALS, ROLE
from perdure.runlog.json_objects import JsonObject
from perdure.v1.roles_pb2 import Role
from perdure_executor.node_context import NodeFailure
from perdure_executor.redaction import Redaction
from perdure_executor.untrusted_schema import UntrustedSchema

DAY: Final = 86_400.0
"""Seconds that people have for an answer where the question does not say."""

LONGEST: Final = 31_536_000.0
"""Most seconds that they may have: a year."""

MOST_OPTIONS: Final = 100

NAME_LENGTH: Final = 128
"""Characters of the longest name of a question, or of an option."""

NOT_STARTER: Final = "not_starter"
_RULES: Final = frozenset({NOT_STARTER, "not_author"})
_ROLES: Final = frozenset(name.removeprefix("ROLE_").lower() for name in Role.keys()[1:])


class CannotAsk(NodeFailure, ValueError):
    """What is to be asked cannot be asked. The message begins with the argument at fault."""


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


def question_of(prompt: Any, given: Mapping[str, Any], redaction: Redaction) -> Question:
    """What somebody asks with these arguments, without a name where none is given. Raises CannotAsk."""
    name, default, timeout = given["name"], given["default"], given["timeout"]
    _check_types(prompt, name, default, timeout)
    question = Question(
        name, prompt, _ways(given["options"]), given["schema"], default, _texts(given["assignees"], "assignees"),
        tuple(given["four_eyes"]), timeout,
    )  # fmt: skip
    for argument, fault in _faults(question, redaction):
        raise CannotAsk(f"{argument}: {fault}")
    return question


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
        yield "assignees", f"are at most {MAX_ASSIGNEES} principals as keys/ada, or roles as role:reviewer"
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
    return text.removeprefix(ROLE) in _ROLES if text.startswith(ROLE) else text.startswith(PRINCIPALS)


def _is_name(text: str, most: int) -> bool:
    return 0 < len(text) <= most and text.isprintable()

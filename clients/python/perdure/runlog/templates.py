"""Strings with expressions in them: where the expressions are. Evaluating them is for whoever walks the run."""

import re
from dataclasses import dataclass
from typing import Final

OPEN, CLOSE = "{{", "}}"


class TemplateInvalid(ValueError):
    """A `{{` has no `}}`, or there is nothing between them."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A CEL expression, as written between `{{` and `}}`."""

    source: str


def parts(template: str) -> list[str | Expression]:
    """Texts and expressions, in order. Raises TemplateInvalid."""
    found: list[str | Expression] = []
    rest = template
    while OPEN in rest:
        text, _, rest = rest.partition(OPEN)
        length = _expression_length(rest)
        source = rest[:length].strip()
        if not source:
            raise TemplateInvalid(f"{template!r} has an empty expression")
        found += [text, Expression(source)] if text else [Expression(source)]
        rest = rest[length + len(CLOSE) :]
    return [*found, rest] if rest else found


def expressions(template: str) -> list[str]:
    """The expressions alone, in order. Raises TemplateInvalid."""
    return [part.source for part in parts(template) if isinstance(part, Expression)]


def referenced_nodes(expression: str) -> set[str]:
    """Node ids that an expression reads as `nodes.<id>` or `nodes["<id>"]`."""
    return {plain or quoted for plain, quoted in _NODE.findall(_STRINGS_BUT_KEYS.sub("''", expression))}


def _expression_length(rest: str) -> int:
    depth, quote, index = 0, "", 0
    while index < len(rest):
        mark = rest[index]
        if quote:
            index += mark == "\\"
            quote = "" if mark == quote else quote
        elif mark in "'\"":
            quote = mark
        elif mark == "{":
            depth += 1
        elif mark == "}" and depth:
            depth -= 1
        elif rest.startswith(CLOSE, index):
            return index
        index += 1
    raise TemplateInvalid(f"an expression is not closed: {OPEN}{rest[:60]}")


_NODE: Final = re.compile(r"""\bnodes\s*(?:\.\s*([A-Za-z_]\w*)|\[\s*["']([^"']+)["']\s*\])""")
_STRINGS_BUT_KEYS: Final = re.compile(r"""(?<!\[)(?<!\[\s)(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")

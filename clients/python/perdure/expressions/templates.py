"""Strings with expressions in them: where the expressions are. Evaluating them is for whoever walks the run."""

from dataclasses import dataclass

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
    begin = 0
    while (opening := template.find(OPEN, begin)) >= 0:
        if opening > begin:
            found.append(template[begin:opening])
        closing = _closing(template, opening + len(OPEN))
        source = template[opening + len(OPEN) : closing].strip()
        if not source:
            raise TemplateInvalid(f"an expression is empty: {template[opening : opening + 60]}")
        found.append(Expression(source))
        begin = closing + len(CLOSE)
    return [*found, template[begin:]] if begin < len(template) else found


def expressions(template: str) -> list[str]:
    """The expressions alone, in order. Raises TemplateInvalid."""
    return [part.source for part in parts(template) if isinstance(part, Expression)]


def _closing(template: str, begin: int) -> int:
    depth, quote, index = 0, "", begin
    while index < len(template):
        mark = template[index]
        if quote:
            index += mark == "\\"
            quote = "" if mark == quote else quote
        elif mark in "'\"":
            quote = mark
        elif mark == "{":
            depth += 1
        elif mark == "}" and depth:
            depth -= 1
        elif template.startswith(CLOSE, index):
            return index
        index += 1
    raise TemplateInvalid(f"an expression is not closed: {OPEN}{template[begin : begin + 60]}")

"""An answer of the shape that a schema asks for, its values taken from what was found.

The name of a property says what is meant: `files`, `lines`, `matches`, `path`, `title`. A choice is what is mentioned
most in what was read, and a yes is something whose words all stand there.
"""

import re
from typing import Any, Final

from perdure.runlog.json_objects import JsonObject
from perdure_executor.agents.offline.facts import facts
from perdure_executor.agents.offline.findings import Findings
from perdure_executor.agents.offline.report import overview, report

_FILE_WORDS: Final = frozenset({"path", "paths", "file", "files", "filename", "name", "source"})

_FILLERS: Final = frozenset({"is", "are", "has", "have", "had", "was", "does", "do", "can", "any"})
"""Words of a yes-or-no name that say nothing about what it asks for."""


def shaped_answer(schema: JsonObject, findings: Findings) -> Any:
    """A value for a schema; whether it fits in every detail is for the caller to check."""
    return _Shaper(findings).value(schema, "")


class _Shaper:
    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._report = report(findings)
        self._texts = " ".join([*findings.paths, *(read["text"] for read in findings.read)]).lower()

    def value(self, schema: Any, name: str) -> Any:
        """What belongs under a name."""
        if not isinstance(schema, dict):  # `true`: anything will do
            return self._report
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            # Of choices mentioned as often, the first: max keeps the order.
            return max(schema["enum"], key=lambda choice: self._mentions(str(choice)), default=None)
        for several in ("anyOf", "oneOf", "allOf"):
            if several in schema:
                return self.value(schema[several][0], name)
        match _kind(schema):
            case "object":
                return {key: self.value(inner, key) for key, inner in schema.get("properties", {}).items()}
            case "array":
                return self._list(schema, name)
            case "integer" | "number":
                return self._number(name)
            case "boolean":
                return all(self._mentions(word) for word in _words(name) if word not in _FILLERS)
            case "null":
                return None
            case _:
                return self._text(schema, name)

    def _list(self, schema: JsonObject, name: str) -> list[Any]:
        items = schema.get("items", {})
        read = [item["path"] for item in self._findings.read]
        if _kind(items) == "object":
            values: list[Any] = [
                _Shaper(Findings(self._findings.prompt, self._findings.listing, [item])).value(items, name)
                for item in self._findings.read
            ]
        elif _kind(items) == "string" and _FILE_WORDS & set(_words(name)):
            values = read
        elif _kind(items) == "string":
            values = [
                f"{item['path']}: {fact}" for item in self._findings.read for fact in facts(item["path"], item["text"])
            ]
        else:
            values = [self.value(items, name)]
        return values[: schema.get("maxItems", len(values))]

    def _number(self, name: str) -> int:
        findings, words = self._findings, set(_words(name))
        listing = findings.listing or {}
        if words & {"line", "lines"}:
            return sum(int(read["lines"]) for read in findings.read)
        if words & {"bytes", "size"}:
            only = findings.read[0]["bytes"] if len(findings.read) == 1 else None
            return int(only if only is not None else listing.get("byte_count", 0))
        if words & {"matches", "todo", "todos", "findings", "occurrences"}:
            return sum(int(search["match_count"]) for search in findings.searched)
        if words & {"folders", "directories"}:
            return len(listing.get("folders", []))
        return int(listing.get("file_count", len(findings.read)))

    def _text(self, schema: JsonObject, name: str) -> str:
        words, first = set(_words(name)), (self._findings.read or [{"path": "", "text": ""}])[0]
        if words & _FILE_WORDS:
            text = first["path"]
        elif words & {"title", "headline", "fact", "line"}:
            text = next(iter(facts(first["path"], first["text"])), first["path"])
        else:
            text = self._report
        most = schema.get("maxLength", len(text))
        if text is self._report and most < len(text):
            text = " ".join(overview(self._findings).split())
        return str(text)[:most]

    def _mentions(self, words: str) -> int:
        return len(re.findall(rf"\b{re.escape(words.lower())}", self._texts))


def _kind(schema: Any) -> str:
    """The type that is asked for; of several the first that is not null."""
    if not isinstance(schema, dict):
        return "string"
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return str(next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind)


def _words(name: str) -> list[str]:
    """The words of `a_name`, `a-name` or `aName`."""
    return re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())

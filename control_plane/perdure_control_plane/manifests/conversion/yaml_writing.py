"""Writes a manifest as YAML that people read: in a fixed order, with comments where something became something else."""

from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import LiteralScalarString

from perdure.runlog.json_objects import JsonObject

_WIDTH: Final = 120


def write(manifest: JsonObject, comments: dict[str, list[str]], head: str) -> bytes:
    """The text. `comments` are by a field at the top, or the id of a node; `head` stands before everything."""
    document = _commented(manifest)
    for index, node in enumerate(document.get("nodes", ())):
        said = comments.get(node["id"])
        if said:
            document["nodes"].yaml_set_comment_before_after_key(index, before="\n".join(said), indent=2)
    for name in manifest:
        if name in comments:
            document.yaml_set_comment_before_after_key(name, before="\n".join(comments[name]))
    writer, written = YAML(), _Text()
    writer.width, writer.allow_unicode = _WIDTH, True
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.dump(document, written)
    top = "".join(f"# {line}\n" for line in head.splitlines())
    return f"{top}{''.join(written.parts)}".encode()


class _Text:
    def __init__(self) -> None:
        self.parts: list[str] = []

    def write(self, part: str | bytes) -> None:
        self.parts.append(part if isinstance(part, str) else part.decode())


def _commented(value: Any) -> Any:
    match value:
        case dict():
            return CommentedMap((key, _commented(inner)) for key, inner in value.items())
        case list():
            made = CommentedSeq(_commented(inner) for inner in value)
            if all(isinstance(inner, str | int | float | bool) for inner in value):
                made.fa.set_flow_style()
            return made
        case str() if "\n" in value and not value.startswith((" ", "\n")):
            return LiteralScalarString(value)
        case _:
            return value

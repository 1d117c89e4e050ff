"""Inputs of a cantbook, and the texts that read them."""

import json
import re
from typing import Any, Final

from perdure.runlog.json_objects import JsonObject
from perdure_control_plane.manifests.conversion.draft import Draft, fields, readable, text

_READS_INPUT: Final = re.compile(r"\{\{\s*inputs\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


class Inputs:
    """What a cantbook is started with."""

    def __init__(self, draft: Draft, given: list[Any]) -> None:
        self.declared: list[JsonObject] = []
        self.names: set[str] = set()
        self._draft = draft
        self._defaults: dict[str, Any] = {}
        for index, one in enumerate(given):
            self._declare(f"inputs[{index}]", fields(one, f"inputs[{index}]"))

    def _declare(self, path: str, given: JsonObject) -> None:
        self._draft.leftover(path, given, ("name", "required", "default", "description"))
        name = text(given.get("name"), f"{path}.name")
        required = bool(given.get("required")) and given.get("default") is None
        described = {"description": str(given["description"])} if given.get("description") else {}
        self.declared.append({"name": name, **described, "required": required})
        self.names.add(name)
        if not required:
            self._defaults[name] = given.get("default", "")
        if given.get("default") is not None:
            reason = f"the default of {name} stands in the expressions that read it"
            self._draft.changed(f"{path}.default", "DEFAULT_MOVED", reason, "inputs")

    def rendered(self, path: str, value: Any) -> str | None:
        """A text as it stands here: an input that may be missing is read with its default. None, and lost, if unreadable."""
        made = _READS_INPUT.sub(self._read, value if isinstance(value, str) else json.dumps(value))
        if readable(made):
            return made
        self._draft.lost(
            path, "TEMPLATE_UNREADABLE", "what stands between {{ and }} is no expression that can be read here"
        )
        return None

    def _read(self, found: re.Match[str]) -> str:
        name = found[1]
        if name not in self._defaults:
            return f"{{{{ inputs.{name} }}}}"
        default = json.dumps(self._defaults[name], ensure_ascii=False)
        return f"{{{{ has(inputs.{name}) ? inputs.{name} : {default} }}}}"

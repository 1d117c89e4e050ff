"""What an agent has been asked and what its tools have answered, read from its messages."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic_ai.messages import ModelMessage, ToolReturnPart, UserPromptPart

from perdure.runlog.json_objects import JsonObject


@dataclass(slots=True)
class Findings:
    """The state of a look round: it is all that the next step depends on."""

    prompt: str = ""
    listing: JsonObject | None = None
    read: list[JsonObject] = field(default_factory=list)
    searched: list[JsonObject] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """What tools said where they had nothing to answer."""
    called: set[str] = field(default_factory=set)
    """Tools that have answered, one way or the other."""

    @classmethod
    def of(cls, messages: Sequence[ModelMessage]) -> "Findings":
        """Reads a conversation."""
        findings = cls()
        for message in messages:
            for part in message.parts:
                if isinstance(part, UserPromptPart) and isinstance(part.content, str) and not findings.prompt:
                    findings.prompt = part.content
                elif isinstance(part, ToolReturnPart):
                    findings._take_in(part)
        return findings

    def _take_in(self, part: ToolReturnPart) -> None:
        self.called.add(part.tool_name)
        answer = part.content
        if part.outcome != "success" or not isinstance(answer, dict):
            self.refused.append(str(answer))
            return
        match part.tool_name:
            case "list_files":
                self.listing = answer
            case "read_file":
                self.read.append(answer)
            case "search_files":
                self.searched.append(answer)

    @property
    def paths(self) -> list[str]:
        """The files that are known, as they were listed."""
        return [file["path"] for file in self.listing["files"]] if self.listing else []

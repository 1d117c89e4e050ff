"""The tools over a workspace, and the one by which people are asked, as pydantic-ai offers them to a model."""

import asyncio
from collections.abc import Callable, Collection
from typing import Annotated, Concatenate, ParamSpec

from pydantic import Field
from pydantic_ai import FunctionToolset
from pydantic_ai.exceptions import ToolFailed

from perdure.runlog.json_objects import JsonObject
from perdure_executor.agents import tools
from perdure_executor.agents.workspace import NotReadable, Workspace
from perdure_executor.asking import Asking, Unanswered
from perdure_executor.question import CannotAsk

P = ParamSpec("P")

Folder = Annotated[str, Field(description="A folder below the workspace, such as `docs`; empty for all of it.")]
Path = Annotated[str, Field(description="A file below the workspace, such as `docs/README.md`.")]
FirstLine = Annotated[int, Field(description="The line to begin with, counted from 1.")]
Asked = Annotated[str, Field(description="What is asked, with all that the person needs to answer it.")]
Options = Annotated[
    tuple[str, ...], Field(description="The answers of which one is to be selected; none for a written answer.")
]
Text = Annotated[str, Field(description="What a line must hold; not a pattern, and its case does not matter.")]


def workspace_toolset(workspace: Workspace, names: Collection[str]) -> FunctionToolset[None]:
    """The named tools over a workspace; no other exists for the agent."""

    async def list_files(folder: Folder = "") -> JsonObject:
        """Lists the files below a folder with their sizes, nearest first."""
        return await _answer(tools.list_files, workspace, folder)

    async def read_file(path: Path, first_line: FirstLine = 1) -> JsonObject:
        """Reads a text file."""
        return await _answer(tools.read_file, workspace, path, first_line)

    async def search_files(text: Text, folder: Folder = "") -> JsonObject:
        """Finds the lines of text files that hold a text."""
        return await _answer(tools.search_files, workspace, text, folder)

    offered = [tool for tool in (list_files, read_file, search_files) if tool.__name__ in names]
    return FunctionToolset(offered, id="workspace")


def people_toolset(ask: Asking) -> FunctionToolset[None]:
    """The tool by which an agent asks people. Its first call ends the attempt; the next attempt has the answer."""

    async def ask_person(question: Asked, options: Options = ()) -> JsonObject:
        """Asks a person, who may take days. The answer is what was written, or the option that was selected."""
        # What it offers is its model's, and may be secret: no id is made of it.
        ways = {str(number): option for number, option in enumerate(options, 1)}
        try:
            answer = ask(question, options=ways or None)
            return {"answer": ways[answer] if ways else answer}
        except Unanswered as nobody:
            return {"unanswered": nobody.reason, "message": str(nobody)}
        except CannotAsk as error:
            raise ToolFailed(str(error)) from error

    return FunctionToolset([ask_person], id="people")


async def _answer(
    tool: Callable[Concatenate[Workspace, P], JsonObject], workspace: Workspace, *args: P.args, **kwargs: P.kwargs
) -> JsonObject:
    try:
        # Not in the executor's own threads: those are for work whose end must be waited for, and reading is not.
        return await asyncio.to_thread(tool, workspace, *args, **kwargs)
    except NotReadable as nothing:
        raise ToolFailed(str(nothing)) from nothing

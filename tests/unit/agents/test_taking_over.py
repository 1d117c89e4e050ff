"""An agent that is taken over goes on after its last recorded unit; nothing recorded happens twice."""

import asyncio
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from perdure.runlog.plans import WORKSPACE_TOOLS
from perdure_executor.agents.agent_loop import converse
from perdure_executor.agents.brief import Brief
from perdure_executor.agents.workspace import Workspace
from perdure_executor.node_run import Fenced
from perdure_executor.providers import Provider
from perdure_executor.results import Succeeded

Tree = Callable[..., pathlib.Path]

UNITS = [
    "model.request#0",
    "call_tool:list_files#0",
    "model.request#1",
    "call_tool:read_file#0",
    "call_tool:read_file#1",
    "call_tool:read_file#2",
    "model.request#2",
    "call_tool:search_files#0",
    "model.request#3",
]
"""What the built-in model does in `work_tree`. The names are stored in logs: they never change."""


def work_tree(tree: Tree) -> pathlib.Path:
    return tree({"README.md": "# Tree\n", "pyproject.toml": '[project]\nname = "tree"\n', "Makefile": "test:\n"})


async def test_every_request_and_tool_call_of_an_agent_is_a_unit_with_a_name_that_stays(
    tree: Tree, log: Any, agents_in: Any
) -> None:
    await agents_in(work_tree(tree)).do(log)

    assert log.kept == UNITS


async def test_an_agent_that_is_recorded_whole_gives_the_same_output_from_the_log_alone(
    tree: Tree, log: Any, agents_in: Any
) -> None:
    root = work_tree(tree)
    first = await agents_in(root).do(log)
    shutil.rmtree(root)
    root.mkdir()
    next_holder = log.taken_over()

    again = await agents_in(root).do(next_holder)

    assert isinstance(first, Succeeded)
    assert again == first
    assert next_holder.kept == []


@pytest.mark.parametrize("lost_at", UNITS)
async def test_wherever_an_executor_is_lost_the_next_one_goes_on_from_there(
    tree: Tree, log: Any, agents_in: Any, lost_at: str
) -> None:
    agents = agents_in(work_tree(tree))
    whole = await agents.do(log.taken_over())
    log.lost_at = lost_at
    with pytest.raises(Fenced):
        await agents.do(log)
    next_holder = log.taken_over()

    output = await agents.do(next_holder)

    assert output == whole
    assert next_holder.kept == UNITS[UNITS.index(lost_at) :]


class Counted:
    """A model that reads one file and says what is in it, and counts how often it is asked."""

    def __init__(self, path: str = "a.txt") -> None:
        self.path = path
        self.asked = 0

    async def reply(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.asked += 1
        answers = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
        if not answers:
            return ModelResponse(parts=[ToolCallPart("read_file", {"path": self.path}, tool_call_id="1")])
        return ModelResponse(parts=[TextPart(f"{answers[0].outcome}: {answers[0].content}")])

    async def do(self, log: Any, root: pathlib.Path, tools: tuple[str, ...] = WORKSPACE_TOOLS) -> Any:
        workspace = Workspace(str(root))
        brief = Brief("run/look:1#1", "a", "worker", "Read it.", Provider("builtin"), "m", tools, workspace, None)
        return await converse(brief, log.journal(), FunctionModel(self.reply, model_name="m"))


async def test_a_recorded_request_does_not_ask_the_model_and_a_recorded_call_does_not_read_the_file(
    tree: Tree, log: Any
) -> None:
    root, model = tree({"a.txt": "first"}), Counted()
    first = await model.do(log, root)
    (root / "a.txt").write_text("second")

    again = await model.do(log.taken_over(), root)

    assert model.asked == 2
    assert "first" in first.output["text"]
    assert again == first
    assert first.output["usage"]["requests"] == 2
    assert first.output["usage"]["tool_calls"] == 1


async def test_a_model_is_asked_again_only_for_what_is_not_recorded(tree: Tree, log: Any) -> None:
    root, model = tree({"a.txt": "first"}), Counted()
    log.lost_at = "model.request#1"
    with pytest.raises(Fenced):
        await model.do(log, root)
    (root / "a.txt").write_text("second")

    taken_up = await model.do(log.taken_over(), root)

    assert model.asked == 3  # once for the call, and twice for the answer, of which one was lost
    assert "first" in taken_up.output["text"]


async def test_a_tool_that_has_nothing_to_answer_tells_the_model_and_that_is_recorded_too(tree: Tree, log: Any) -> None:
    root, model = tree({}), Counted("missing.txt")
    first = await model.do(log, root)
    (root / "missing.txt").write_text("now it is here")

    again = await model.do(log.taken_over(), root)

    assert first.output["text"] == "failed: 'missing.txt' does not exist"
    assert again == first


async def test_a_tool_that_the_node_does_not_list_does_not_exist(tree: Tree, log: Any) -> None:
    root, model = tree({"a.txt": "first"}), Counted()

    result = await model.do(log, root, tools=("list_files",))

    assert "first" not in str(result)
    assert "call_tool:read_file#0" not in log.kept


async def test_an_agent_that_is_stopped_ends_at_once_and_records_nothing_more(tree: Tree, log: Any) -> None:
    asked = asyncio.Event()

    async def never(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    brief = Brief("run/look:1#1", "a", "worker", "Wait.", Provider("builtin"), "m", (), None, None)
    work = asyncio.create_task(converse(brief, log.journal(), FunctionModel(never)))
    await asked.wait()
    work.cancel()

    with pytest.raises(asyncio.CancelledError):
        await work
    assert log.kept == []

"""What tests of agents are given: work trees, a log that keeps units, and nodes to prepare."""

import json
import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from perdure.runlog.instances import Instance, Step
from perdure.runlog.plans import WORKSPACE_TOOLS, WalkPlan
from perdure.runlog.walk import Walk
from perdure.v1 import instances_pb2, plans_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor.agents.journal import UnitJournal
from perdure_executor.calls import Calls
from perdure_executor.commands import Supervisor
from perdure_executor.node_context import Equipment, NodeContext, Work
from perdure_executor.node_run import Fenced
from perdure_executor.nodes import prepare
from perdure_executor.providers import configured_providers
from perdure_executor.results import Result

PLACE = Instance((Step("look", 1),), 1)


@dataclass
class Log:
    """Keeps the units of one attempt, as a run's log does."""

    units: dict[str, bytes] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    """Units that were recorded by the present holder."""
    lost_at: str = ""
    """The unit at whose recording the lease is lost; its content is not stored."""

    def say(self, event: RunEvent) -> None:
        raise AssertionError("an agent says nothing that is not kept")

    async def keep(self, event: RunEvent) -> None:
        unit = event.unit_content
        if unit.unit == self.lost_at:
            raise Fenced
        assert unit.instance == PLACE.message()
        assert unit.unit not in self.units
        self.units[unit.unit] = unit.json
        self.kept.append(unit.unit)

    @property
    def asked_to_end(self) -> bool:
        return False

    async def room(self) -> None:
        return

    def taken_over(self) -> "Log":
        """The same log, as the next holder gets it."""
        return Log(dict(self.units))

    def journal(self, max_bytes: int = 1 << 20) -> UnitJournal:
        return UnitJournal(PLACE, dict(self.units), self.keep, max_bytes)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Makes a work tree from paths and contents."""

    def make(files: Mapping[str, str | bytes], name: str = "tree") -> pathlib.Path:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        for path, content in files.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return make


@dataclass
class Agents:
    """Prepares agentic nodes, and does them."""

    workspace: str

    def equipment(self, **fields: Any) -> Equipment:
        given: dict[str, Any] = {
            "supervisor": Supervisor(),
            "functions": {},
            "calls": Calls(1),
            "workspace": self.workspace,
            "environment": {},
            "max_payload_bytes": 1 << 20,
            "max_task_output_bytes": 1 << 20,
            "kill_grace": 1.0,
            "providers": configured_providers((), {}),
        }
        return Equipment(**(given | fields))

    def context(
        self,
        *,
        sees: dict[str, Any] | None = None,
        units: Mapping[str, bytes] | None = None,
        inputs: dict[str, Any] | None = None,
        output_schema: dict[str, Any] | None = None,
        equipment: dict[str, Any] | None = None,
        **fields: Any,
    ) -> NodeContext:
        spec: dict[str, Any] = {
            "agent": "reviewer",
            "role": "worker",
            "prompt": "Look at the work tree.",
            "provider": "builtin",
            "model": "offline",
            "tools": WORKSPACE_TOOLS,
            "output_schema": json.dumps(output_schema).encode() if output_schema is not None else b"",
        }
        node = plans_pb2.PlanNode(
            id="look",
            effect=instances_pb2.EFFECT_NONE,
            agentic=plans_pb2.AgenticNode(**(spec | fields)),
            inputs=json.dumps(inputs).encode() if inputs else b"",
        )
        plan = WalkPlan(plans_pb2.Plan(nodes=[node]))
        return NodeContext(
            node=node,
            instance=PLACE,
            run_id="run",
            lease_id="lease",
            key=lambda: "key",
            see=lambda: sees or {},
            equipment=self.equipment(**(equipment or {})),
            walk=Walk(plan),
            units=units or {},
        )

    async def do(self, log: Log, **fields: Any) -> Result:
        """Prepares a node, and does it with what the log has."""
        prepared = prepare(self.context(units=dict(log.units), **fields))
        assert isinstance(prepared, Work), prepared
        return await prepared.begin(log)


@pytest.fixture
def agents_in() -> Callable[[pathlib.Path], Agents]:
    """Agents of an executor whose workspace is a folder."""
    return lambda folder: Agents(str(folder))

"""What tests of every tier are given: real stores, servers, executors and logs."""

import asyncio
import pathlib
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio
from sqlalchemy import create_engine, event

from perdure.runlog.instances import Instance, Step
from perdure.runlog.plans import WalkPlan
from perdure.v1 import (
    approvals_pb2_grpc,
    credentials_pb2_grpc,
    flows_pb2,
    flows_pb2_grpc,
    instances_pb2,
    plans_pb2,
    playbooks_pb2,
    playbooks_pb2_grpc,
    run_events_pb2,
    run_inbox_pb2_grpc,
    runs_pb2_grpc,
    schedules_pb2_grpc,
    server_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
    tasks_pb2_grpc,
)
from perdure_control_plane.storage.migrate import migrate
from perdure_control_plane.storage.sqlite import DATABASE, SqliteStore
from perdure_executor.node_context import Function
from perdure_executor.worker import Worker
from perdure_services import logs, process  # noqa: F401  # first: it sets what gRPC reads when it is imported
from perdure_services.control_plane import control_plane
from perdure_services.executor import executor
from perdure_services.settings import load_control_plane, load_executor
from tests.postgres import PostgresServer, postgres_server


def pytest_addoption(parser: pytest.Parser) -> None:
    """What the kill tests may be given; `make chaos` is the long form of them."""
    chaos = parser.getgroup("chaos")
    chaos.addoption("--executor-kills", type=int, default=20, help="executors to kill under load")
    chaos.addoption("--server-kills", type=int, default=5, help="control planes to kill under load")
    chaos.addoption("--seed", type=int, default=None, help="of the kills' moments; drawn where it is not given")


class ManualClock:
    """A store's clock that only a test moves. Microseconds since 1970."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * 1e6)


@pytest.fixture
def folder_of(tmp_path: pathlib.Path) -> Callable[[dict[str, str]], pathlib.Path]:
    """Writes files, given by their paths and texts, into a folder of their own."""

    def write(files: dict[str, str]) -> pathlib.Path:
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return write


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A SQLite database with the schema in it, and nothing else."""
    path = tmp_path_factory.mktemp("migrated") / DATABASE
    engine = create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT")
    event.listen(engine, "connect", _say_begin_ourselves)
    migrate(engine)
    engine.dispose()
    return path


def _say_begin_ourselves(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None


@pytest.fixture
def data_dir(tmp_path: pathlib.Path, migrated: pathlib.Path) -> pathlib.Path:
    """The data directory of a store that has been made and never used."""
    directory = tmp_path / "data"
    directory.mkdir(mode=0o700)
    shutil.copyfile(migrated, directory / DATABASE)
    return directory


@pytest.fixture
async def store(data_dir: pathlib.Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(data_dir, clock)
    await opened.open()
    yield opened
    await opened.close()


@dataclass
class Plans:
    """Makes plans without a manifest."""

    def node(self, node_id: str, **fields: Any) -> plans_pb2.PlanNode:
        fields.setdefault("effect", instances_pb2.EFFECT_NONE)
        if not {"agentic", "deterministic", "function", "approval", "wait", "playbook", "map", "part"} & set(fields):
            fields["function"] = plans_pb2.FunctionNode(function="noop")
        return plans_pb2.PlanNode(id=node_id, **fields)

    def line(self, *nodes: plans_pb2.PlanNode, jump_limit: int = 10) -> WalkPlan:
        ids = [node.id for node in nodes]
        edges = [plans_pb2.PlanEdge(source=a, target=b) for a, b in zip(ids, ids[1:], strict=False)]
        return WalkPlan(plans_pb2.Plan(nodes=nodes, edges=edges, jump_limit=jump_limit))

    def graph(self, nodes: Sequence[plans_pb2.PlanNode], steps: Sequence[tuple[str, str]]) -> WalkPlan:
        edges = [plans_pb2.PlanEdge(source=a, target=b) for a, b in steps]
        return WalkPlan(plans_pb2.Plan(nodes=nodes, edges=edges, jump_limit=10))


@pytest.fixture
def plans() -> Plans:
    return Plans()


@pytest.fixture
def at() -> Callable[..., Instance]:
    """Makes the address of an attempt in a root run."""
    return lambda node, visit=1, attempt=1: Instance((Step(node, visit),), attempt)


@dataclass
class Service:
    """A control plane that runs in this process, and stubs of its services."""

    address: str
    channel: grpc.aio.Channel
    data_dir: pathlib.Path

    def __post_init__(self) -> None:
        self.playbooks: Any = playbooks_pb2_grpc.PlaybookServiceStub(self.channel)
        self.flows: Any = flows_pb2_grpc.FlowServiceStub(self.channel)
        self.sessions: Any = sessions_pb2_grpc.SessionServiceStub(self.channel)
        self.runs: Any = runs_pb2_grpc.RunServiceStub(self.channel)
        self.schedules: Any = schedules_pb2_grpc.ScheduleServiceStub(self.channel)
        self.inbox: Any = run_inbox_pb2_grpc.InboxServiceStub(self.channel)
        self.approvals: Any = approvals_pb2_grpc.ApprovalServiceStub(self.channel)
        self.credentials: Any = credentials_pb2_grpc.CredentialServiceStub(self.channel)
        self.tasks: Any = tasks_pb2_grpc.TaskServiceStub(self.channel)
        self.server: Any = server_pb2_grpc.ServerServiceStub(self.channel)

    async def publish(self, manifest: str) -> playbooks_pb2.PlaybookVersion:
        """Stores and publishes a playbook."""
        document = playbooks_pb2.PlaybookDocument(text=manifest.encode())
        request = playbooks_pb2.CreatePlaybookVersionRequest(document=document)
        created = await self.playbooks.CreatePlaybookVersion(request)
        evidence = [playbooks_pb2.Evidence(kind="review", id="test")]
        published = playbooks_pb2.PublishPlaybookVersionRequest(
            name=created.name, digest=created.digest, evidence=evidence
        )
        return await self.playbooks.PublishPlaybookVersion(published)

    async def start(self, manifest: str, *, key: str = "key", session: str = "s", **fields: Any) -> flows_pb2.Flow:
        """Publishes a playbook and starts it."""
        version = await self.publish(manifest)
        await self.sessions.CreateSession(sessions_pb2.CreateSessionRequest(session_id=session))
        request = flows_pb2.StartFlowRequest(
            playbook_version=version.name,
            digest=version.digest,
            session=f"sessions/{session}",
            idempotency_key=key,
            **fields,
        )
        return await self.flows.StartFlow(request)

    async def settled(self, flow: flows_pb2.Flow) -> flows_pb2.Flow:
        """Follows a flow to its end and returns it as it is then."""
        last = flow
        async for item in self.flows.WatchFlow(flows_pb2.WatchFlowRequest(name=flow.name)):
            last = item.flow if item.HasField("flow") else last
        return last

    async def until(
        self, flow: flows_pb2.Flow, wanted: Callable[[run_events_pb2.RecordedEvent], bool]
    ) -> run_events_pb2.RecordedEvent:
        """Follows a flow until an event is the wanted one, and returns it."""
        async for item in self.flows.WatchFlow(flows_pb2.WatchFlowRequest(name=flow.name)):
            if item.HasField("event") and wanted(item.event):
                return item.event
        raise AssertionError("the flow ended without that event")


Serve = Callable[..., Awaitable[Service]]
Hire = Callable[..., Awaitable[Worker]]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server({"fsync": "off"}) as server:
        yield server


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


@pytest.fixture
def serve(stack: AsyncExitStack, tmp_path: pathlib.Path) -> Serve:
    """Starts a control plane on a free port; it stops when the test ends, or when a stack that is given is closed."""

    async def start(stack: AsyncExitStack = stack, stop: asyncio.Event | None = None, **flags: Any) -> Service:
        flags.setdefault("data_dir", tmp_path / "data")
        settings = load_control_plane(None, {"port": 0, "drain_notice_seconds": 0, **flags})
        address = await stack.enter_async_context(control_plane(settings, stop or asyncio.Event()))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        return Service(address, channel, settings.data_dir)

    return start


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_service(tmp_path_factory: pytest.TempPathFactory, migrated: pathlib.Path) -> AsyncIterator[Service]:
    """A control plane for which nobody works; tests of a module that runs in one event loop share it."""
    data_dir = tmp_path_factory.mktemp("shared")
    shutil.copyfile(migrated, data_dir / DATABASE)
    settings = load_control_plane(
        None, {"port": 0, "drain_notice_seconds": 0, "heartbeat_seconds": 0.2, "data_dir": data_dir}
    )
    async with (
        control_plane(settings, asyncio.Event()) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield Service(address, channel, data_dir)


@pytest.fixture
def connect(stack: AsyncExitStack) -> Callable[[str, pathlib.Path], Awaitable[Service]]:
    """Connects to a control plane that is a process of its own."""

    async def to(address: str, data_dir: pathlib.Path) -> Service:
        return Service(address, await stack.enter_async_context(grpc.aio.insecure_channel(address)), data_dir)

    return to


@dataclass
class Staff:
    """Executors that work in this process."""

    stack: AsyncExitStack
    tmp_path: pathlib.Path
    working: list[asyncio.Task[None]] = field(default_factory=list)

    async def hire(self, service: Service, functions: dict[str, Function] | None = None, **flags: Any) -> Worker:
        """Starts an executor, and returns it when it is connected."""
        flags.setdefault("workspace", self.tmp_path)
        settings = load_executor(None, {"server": service.address, "drain_seconds": 1.0, **flags})
        worker = await self.stack.enter_async_context(_executor(settings, functions or {}))
        task = asyncio.create_task(worker.run())
        self.stack.push_async_callback(_dismiss, worker, task)
        await worker.connected.wait()
        return worker


@asynccontextmanager
async def _executor(settings: Any, functions: dict[str, Function]) -> AsyncIterator[Worker]:
    async with executor(settings, functions) as worker:
        yield worker


async def _dismiss(worker: Worker, task: "asyncio.Task[None]") -> None:
    await worker.drain()
    await task


@pytest.fixture
def hire(stack: AsyncExitStack, tmp_path: pathlib.Path) -> Hire:
    return Staff(stack, tmp_path).hire


@pytest.fixture(autouse=True)
def quiet_logs() -> None:
    """Keeps all but warnings of the programs' logs out of the tests' output."""
    logs.set_up("text", "warning")

"""A store that is driven as a server drives it: executors connect, claim and report; callers ask."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Executable, func, select

from perdure.runlog.effects import approval_id
from perdure.runlog.instances import Instance, Step
from perdure.v1 import (
    approval_facts_pb2,
    decisions_pb2,
    execution_pb2,
    fact_events_pb2,
    instances_pb2,
    node_events_pb2,
    run_events_pb2,
    run_states_pb2,
)
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.api.work.incoming import read_batch
from perdure_control_plane.domain.admission import Answer
from perdure_control_plane.domain.api_key import KeyTexts
from perdure_control_plane.domain.approval import TokenKeys
from perdure_control_plane.domain.caller import OPEN_CALLER, Caller
from perdure_control_plane.domain.executor import Executor
from perdure_control_plane.domain.flow import RequestSource
from perdure_control_plane.domain.ids import ApprovalId, Incarnation, PlaybookId, RunId, SessionId
from perdure_control_plane.domain.limits import Limits, Timing
from perdure_control_plane.domain.playbook import Evidence, Publication
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.domain.run import Run
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.storage.rebuilding import Rebuilder, run_ids
from perdure_control_plane.storage.sqlite import SqliteStore
from perdure_control_plane.storage.tables import metadata
from perdure_control_plane.storage.unaudited import Comparison, compare_with_audit
from perdure_control_plane.storage.unit_of_work import SqlTransaction
from perdure_control_plane.usecases.claim_runs import Claim, Claimed, acknowledge_assignments, claim_runs
from perdure_control_plane.usecases.connect_executor import HeldRun, Renewal, connect_executor, renew_lease
from perdure_control_plane.usecases.create_key import NewKey, create_key
from perdure_control_plane.usecases.create_playbook_version import create_playbook_version
from perdure_control_plane.usecases.create_session import create_session
from perdure_control_plane.usecases.fold_run import whole_log
from perdure_control_plane.usecases.publish_playbook_version import Publishing, publish_playbook_version
from perdure_control_plane.usecases.revoke_playbook_version import Revoking, revoke_playbook_version
from perdure_control_plane.usecases.start_flow import FlowStarter, Start
from perdure_control_plane.usecases.sweep import Swept, sweep
from tests.postgres import PostgresServer

LINE = """
playbook_id: line
version: 1.0.0
title: A line
objective: Walk it
nodes:
  - {id: a, type: function, function: noop, effect: none}
  - {id: b, type: function, function: noop, effect: at_most_once}
"""

GATED = """
playbook_id: gated
version: 1.0.0
title: A gate
objective: Ask
nodes:
  - {id: gate, type: approval, prompt: go on?, timeout_seconds: 60, kind: review, content_schema: {type: object}}
  - {id: after, type: function, function: noop}
"""


ASKED: dict[str, Any] = {
    "quorum": 1,
    "on_timeout": decisions_pb2.ON_TIMEOUT_FAIL,
    "allowed": [decisions_pb2.DECISION_KIND_APPROVED, decisions_pb2.DECISION_KIND_REJECTED],
    "kind": decisions_pb2.APPROVAL_KIND_APPROVE,
}


@dataclass
class Holder:
    """One executor's lease on one run, as its executor sees it."""

    house: "House"
    claimed: Claimed
    tail: int = 0
    next_ordinal: int = 1
    seen: int = 0

    @property
    def run_id(self) -> RunId:
        return self.claimed.run.run_id

    async def send(self, *events: RunEvent, first: int | None = None, **fields: Any) -> Answer:
        """Sends a batch and waits for its answer. Without `first`, the ordinals follow those sent before."""
        return await self.house.append(self.batch(*events, first=first, **fields))

    def batch(self, *events: RunEvent, first: int | None = None, **fields: Any) -> execution_pb2.EventBatch:
        """The batch that says these next."""
        begin = self.next_ordinal if first is None else first
        self.next_ordinal = max(self.next_ordinal, begin + len(events))
        return execution_pb2.EventBatch(
            run_id=fields.get("run_id", self.run_id),
            lease_id=fields.get("lease_id", self.claimed.lease_id),
            tail=fields.get("tail", self.tail),
            first_ordinal=begin,
            seen=fields.get("seen", self.seen),
            events=events,
        )

    async def node(self, name: str, *, effect: str = "NONE", attempt: int = 1) -> None:
        """Runs a node to its success."""
        await self.send(self.started(name, effect, attempt), self.settled(name, effect, attempt))

    def started(self, name: str, effect: str = "NONE", attempt: int = 1, **fields: Any) -> RunEvent:
        started = node_events_pb2.NodeStarted(instance=place(name, attempt), effect=effect_of(effect), **fields)
        return RunEvent(node_started=started)

    def settled(self, name: str, effect: str = "NONE", attempt: int = 1, **fields: Any) -> RunEvent:
        fields.setdefault("outcome", instances_pb2.OUTCOME_SUCCEEDED)
        settled = node_events_pb2.NodeSettled(instance=place(name, attempt), effect=effect_of(effect), **fields)
        return RunEvent(node_settled=settled)

    def output(self, name: str, json: bytes, attempt: int = 1) -> RunEvent:
        return RunEvent(node_output=node_events_pb2.NodeOutput(instance=place(name, attempt), json=json))

    def log_line(self, name: str, text: str) -> RunEvent:
        return RunEvent(log_line=run_events_pb2.LogLine(instance=place(name), text=text))

    def ended(self, state: str = "COMPLETED", **fields: Any) -> RunEvent:
        number = run_states_pb2.RunState.Value(f"RUN_STATE_{state}")
        return RunEvent(run_ended=run_events_pb2.RunEnded(state=number, **fields))

    def paused(self, *, ready: bool = False) -> RunEvent:
        return RunEvent(run_paused=run_events_pb2.RunPaused(ready=ready))

    def returned(self) -> RunEvent:
        return RunEvent(lease_returned=run_events_pb2.LeaseReturned(cause=run_events_pb2.RETURN_CAUSE_DRAINING))

    def asks(self, name: str, timeout_seconds: int = 60, attempt: int = 1, **fields: Any) -> list[RunEvent]:
        """The question of a gate, with its subject; whether to go on, unless the fields say something else."""
        subject = b'{"prompt":"go on?"}'
        asked = approval_facts_pb2.ApprovalWait(
            approval_id=asked_id(self.run_id, name, attempt),
            subject_digest=hashlib.sha256(subject).digest(),
            nonce="nonce",
            prompt="go on?",
            **ASKED | fields,
        )
        opened = fact_events_pb2.WaitOpened(instance=place(name, attempt), approval=asked)
        opened.timeout.FromSeconds(timeout_seconds)
        shown = approval_facts_pb2.WaitSubject(instance=place(name, attempt), canonical_json=subject)
        return [RunEvent(wait_subject=shown), RunEvent(wait_opened=opened)]


def asked_id(run_id: RunId, name: str = "gate", attempt: int = 1) -> ApprovalId:
    """The id of the approval that a node's attempt asks for."""
    return ApprovalId(approval_id(run_id, Instance((Step(name, 1),), attempt)))


def place(name: str, attempt: int = 1, visit: int = 1) -> instances_pb2.Instance:
    return Instance((Step(name, visit),), attempt).message()


def effect_of(word: str) -> instances_pb2.Effect.ValueType:
    return instances_pb2.Effect.Value(f"EFFECT_{word}")


@dataclass
class House:
    """A store, with everything that is asked of it."""

    store: SqliteStore | PostgresStore
    timing: Timing = field(default_factory=Timing)
    limits: Limits = field(default_factory=Limits)
    keys: TokenKeys = field(default_factory=lambda: TokenKeys("k1", {"k1": b"secret" * 6}))
    starts: int = 0
    _published: dict[str, tuple[PlaybookId, str, str]] = field(default_factory=dict)

    async def published(self, manifest: str, author: Caller = OPEN_CALLER) -> tuple[PlaybookId, str, str]:
        """Stores and publishes a playbook, unless it is; its id, version and digest."""
        if manifest not in self._published:
            version = await create_playbook_version(self.store, author, manifest.encode(), "")
            evidence = (Evidence("review", "test"),)
            asked = Publishing(version.playbook_id, version.version, version.digest, Publication.ACTIVE, evidence, "")
            await publish_playbook_version(self.store, OPEN_CALLER, asked)
            self._published[manifest] = version.playbook_id, version.version, version.digest
        return self._published[manifest]

    async def revoke(self, playbook_id: str) -> None:
        """Revokes the first version of a playbook."""
        version = await self.store.read(lambda tx: tx.playbooks.get_version(PlaybookId(playbook_id), "1.0.0"))
        revoking = Revoking(version.playbook_id, version.version, version.digest, "unsafe", (), "")
        await revoke_playbook_version(self.store, OPEN_CALLER, revoking)

    async def start(self, manifest: str = LINE, caller: Caller = OPEN_CALLER, **fields: Any) -> RunId:
        """Starts a playbook and returns its root run."""
        self.starts += 1
        asked = await self.asked(manifest, idempotency_key=f"key-{self.starts}", **fields)
        view = await FlowStarter(self.store, self.limits).start(caller, asked)
        return view.flow.root_run_id

    async def held(self, manifest: str, caller: Caller = OPEN_CALLER) -> Holder:
        """An executor that holds a run that somebody has started."""
        await self.start(manifest, caller)
        (held,) = await self.claim(await self.connect())
        return held

    async def asked(self, manifest: str = LINE, **fields: Any) -> Start:
        """A request to start a playbook, which is published, in a session, which exists."""
        playbook_id, version, digest = await self.published(manifest)
        await create_session(self.store, OPEN_CALLER, SessionId("s"), "")
        asked = {
            "playbook_id": playbook_id,
            "version": version,
            "digest": digest,
            "session_id": SessionId("s"),
            "idempotency_key": "key",
            "flow_id": None,
            "content": "",
            "input": b"",
            "metadata": {},
            "provider": "",
            "source": RequestSource(),
            "queue": "default",
            "priority": 0,
            "timeout_micros": 0,
            "labels": (),
        }
        return Start(**{**asked, **fields})

    async def connect(self, name: str = "x", **fields: Any) -> Executor:
        """Connects an executor, or connects it again."""
        described: dict[str, Any] = {
            "executor_id": name,
            "incarnation": Incarnation(f"{name}-process"),
            "stream_number": 0,
            "lease_until": 0,
            "renewed_at": 0,
            "node_kinds": (),
            "queues": ("default",),
            "providers": ("builtin",),
            "labels": (),
            "fold_lowest": 1,
            "fold_highest": 1,
            "slots": 10,
            "version": "test",
        }
        executor = Executor(**{**described, **fields})
        number = await connect_executor(self.store, self.timing, executor)
        return Executor(**{**described, **fields, "stream_number": number})

    async def claim(self, executor: Executor, limit: int = 10, *, confirm: bool = True) -> list[Holder]:
        """Claims runs for an executor."""
        claim = Claim(executor.incarnation, executor.stream_number, limit, 1, 1)
        claimed = (await claim_runs(self.store, self.timing, claim)).claimed
        if confirm:
            leases = [(taken.run.run_id, taken.lease_id) for taken in claimed]
            await acknowledge_assignments(self.store, leases)
        return [Holder(self, taken, seen=taken.run.head.outside_sequence) for taken in claimed]

    async def renew(self, executor: Executor, *held: Holder, last_assignment: int = 100) -> Renewal | None:
        """Sends a heartbeat."""
        runs = tuple(HeldRun(holder.run_id, holder.claimed.lease_id) for holder in held)
        return await renew_lease(
            self.store, self.timing, executor.incarnation, executor.stream_number, last_assignment, runs
        )

    async def append(self, message: execution_pb2.EventBatch) -> Answer:
        """Submits a batch and waits for its answer."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.store.append(read_batch(message, self.limits.max_payload_bytes), answered.set_result)
        return await answered

    async def sweep(self) -> Swept:
        return await sweep(self.store, self.timing)

    async def run(self, run_id: RunId) -> Run:
        return await self.store.read(lambda tx: tx.runs.get(run_id))

    async def kinds(self, run_id: RunId) -> list[str]:
        """Kinds of a run's stored events, in order."""
        events = await self.store.read(lambda tx: tx.events.after(run_id, 0, limit=1000, max_bytes=1 << 30))
        assert [recorded.sequence for recorded in events] == list(range(1, len(events) + 1))
        return [recorded.event.WhichOneof("kind") or "" for recorded in events]

    async def counts(self) -> dict[str, int]:
        """How many rows each table has."""

        def body(tx: SqlTransaction) -> dict[str, int]:
            tables: Sequence[Any] = metadata.sorted_tables
            rows = {table.name: select(func.count()).select_from(table) for table in tables}
            return {name: tx.connection.execute(query).scalar_one() for name, query in rows.items()}

        return await self.store.read(body)

    async def execute(self, statement: Executable) -> Sequence[Any]:
        """Does to the tables what no part of the server does; the rows that come back."""

        def body(tx: SqlTransaction) -> Sequence[Any]:
            result = tx.connection.execute(statement)
            return result.fetchall() if result.returns_rows else ()

        return await self.store.write(body)

    async def differences(self) -> list[str]:
        """Where the store's tables are not what its logs give."""
        return await self.store.read(_differences)

    async def compared(self) -> Comparison:
        """What tables say that people did, compared with the audit trail."""
        return await self.store.read(lambda tx: compare_with_audit(tx.connection))


def _differences(tx: SqlTransaction) -> list[str]:
    rebuilder = Rebuilder(tx.connection)
    try:
        known = list(run_ids(tx.connection))
        for run_id in known:
            rebuilding = rebuilder.rebuild(run_id)
            for recorded in whole_log(tx, run_id):
                lease_id = recorded.holder.lease_id if recorded.HasField("holder") else None
                rebuilding.take(recorded.event, recorded.stored_time.ToMicroseconds(), lease_id)
            rebuilding.finish()
        return [str(found) for found in rebuilder.differences(known)]
    finally:
        rebuilder.close()


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, clock: Any) -> AsyncIterator[SqliteStore | PostgresStore]:
    """Each store in turn: what these tests say holds for all."""
    if request.param == "sqlite":
        opened: SqliteStore | PostgresStore = SqliteStore(request.getfixturevalue("data_dir"), clock)
        await opened.open()
        yield opened
        await opened.close()
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    opened = PostgresStore(await server.emptied(), clock)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def house(store: SqliteStore | PostgresStore) -> AsyncIterator[House]:
    """Whatever a test does to it, its tables must be what its logs give, and its audit trail say who did what."""
    built = House(store)
    yield built
    assert await built.differences() == []
    assert (await built.compared()).found == []


@pytest.fixture
def anew(house: House) -> Callable[[], Awaitable[None]]:
    """Lets a server go, with all that it has not done yet, and opens the same data in another."""

    async def open_anew() -> None:
        await house.store.close()
        await house.store.open()

    return open_anew


@pytest.fixture
def manifests() -> dict[str, str]:
    return {"line": LINE, "gated": GATED}


@pytest.fixture
async def holder(house: House) -> Holder:
    """An executor that holds a run of a line of two nodes."""
    return await house.held(LINE)


@pytest.fixture
async def gated(house: House) -> Holder:
    """An executor that holds a run which begins with a gate."""
    return await house.held(GATED)


@pytest.fixture
async def keys_of_people(house: House) -> None:
    """Those whom the tests ask have keys, each of its role."""
    roles = {"root": Role.ADMIN, "ops": Role.OPERATOR, **dict.fromkeys(("ada", "bob", "cy"), Role.REVIEWER)}
    for name, role in roles.items():
        await create_key(house.store, KeyTexts(b"k"), OPEN_CALLER, NewKey(name, role, 0, ""))

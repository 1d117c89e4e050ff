"""The primary of a PostgreSQL is lost under load: its standby takes over, the servers follow, and nothing is missing."""

import asyncio
import os
import pathlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure.client import Client
from perdure.v1 import approvals_pb2, decisions_pb2, fact_events_pb2, flows_pb2, run_recovery_pb2, runs_pb2, server_pb2
from perdure.v1.run_events_pb2 import RecordedEvent
from tests.free_ports import free_port
from tests.postgres_nodes import DATABASE, USER, PostgresNode, PostgresPair, place_for_nodes

PROGRAM = pathlib.Path(sys.executable).with_name("perdure-server")
FLOWS = 12
LINE = """
playbook_id: line
version: 1.0.0
title: A line
objective: Call a function again and again
nodes:
""" + "".join(f"  - {{id: step-{number}, type: function, function: step, effect: none}}\n" for number in range(12))
GATED = """
playbook_id: gated
version: 1.0.0
title: A gate
objective: Ask before the work
nodes:
  - {id: gate, type: approval, prompt: go on?}
  - {id: publish, type: function, function: publish, effect: at_most_once}
"""
UNDER_WAY = """
playbook_id: under-way
version: 1.0.0
title: Under way
objective: Be in the middle of an effect
nodes:
  - {id: send, type: function, function: send, effect: at_most_once}
"""


@pytest.fixture
async def pair() -> AsyncIterator[PostgresPair]:
    """A primary, and a standby that has everything that was ever acknowledged."""
    with place_for_nodes() as directory:
        made = PostgresPair(PostgresNode(directory / "one", sync=False), PostgresNode(directory / "two", sync=False))
        try:
            await made.start()
            yield made
        finally:
            await made.close()


class Witness:
    """What watchers were sent: each of these events was committed."""

    def __init__(self) -> None:
        self.seen: dict[str, list[RecordedEvent]] = {}
        self.more = asyncio.Event()

    async def watch(self, client: Client, run: str) -> None:
        seen = self.seen.setdefault(run, [])
        async for recorded in client.watch_run(run):
            seen.append(recorded)
            self.more.set()

    async def until(self, events: int) -> None:
        """Returns when so many events were seen."""
        while sum(map(len, self.seen.values())) < events:
            self.more.clear()
            await self.more.wait()


async def seen(client: Client, run: str, kind: str) -> RecordedEvent:
    """The first event of a kind in a run's log, once it is there. `hold_placed` is a kind of fact."""
    async for recorded in client.watch_run(run):
        if recorded.event.WhichOneof("kind") == kind or recorded.event.fact_recorded.WhichOneof("fact") == kind:
            return recorded
    raise AssertionError(f"{run} ended without {kind}")


async def test_a_standby_takes_over_under_load_and_nothing_that_was_acknowledged_is_missing(
    serve: Any,
    hire: Any,
    pair: PostgresPair,  # the last is closed first: no server is to wait for a standby then
) -> None:
    sending, sent, published = asyncio.Event(), asyncio.Event(), []

    async def step(call: Any) -> None:
        await asyncio.sleep(0)

    async def send(call: Any) -> None:
        sending.set()
        await sent.wait()

    async def publish(call: Any) -> None:
        published.append(call)

    hosts = ",".join(f"127.0.0.1:{node.port}" for node in (pair.standby, pair.primary))
    database = f"postgresql://{USER}@{hosts}/{DATABASE}"
    service = await serve(database=database, sweep_seconds=0.1)
    await hire(service, {"step": step, "send": send, "publish": publish}, slots=20)
    before = await service.server.GetServerInfo(server_pb2.GetServerInfoRequest())
    async with Client(service.address) as client, asyncio.TaskGroup() as watching:
        gated, under_way = await service.start(GATED), await service.start(UNDER_WAY, key="under-way")
        await seen(client, gated.root_run, "wait_opened")
        await sending.wait()
        witness = Witness()
        lines = [await service.start(LINE, key=f"line-{number}") for number in range(FLOWS)]
        for flow in lines:
            watching.create_task(witness.watch(client, flow.root_run))
        await witness.until(FLOWS * 8)

        await pair.fail_over()
        at_failover = {run: list(events) for run, events in witness.seen.items()}
        await pair.mend()

        await seen(client, gated.root_run, "hold_placed")
        await seen(client, under_way.root_run, "hold_placed")
        after = await _server_of_another_generation(service, before.generation)
        sent.set()
        await _go_on(client, gated)
        await _resolve(client, under_way)
        ended = [await service.settled(flow) for flow in (*lines, gated, under_way)]

    assert before.durability == after.durability == server_pb2.DURABILITY_REPLICATED
    assert after.generation > before.generation
    assert {flow.status for flow in ended} == {flows_pb2.Flow.STATUS_SUCCEEDED}
    assert len(published) == 1
    for run, events in at_failover.items():
        listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=run, page_size=500))
        assert list(listed.events)[: len(events)] == events


async def _server_of_another_generation(service: Any, generation: int) -> server_pb2.ServerInfo:
    while True:
        server = await service.server.GetServerInfo(server_pb2.GetServerInfoRequest())
        if server.generation != generation:
            return server
        await asyncio.sleep(0.02)  # a server tells nobody that it has noticed


async def _go_on(client: Client, flow: flows_pb2.Flow) -> None:
    """Releases the hold, and decides what was asked before the primary was lost."""
    await _continue(client, flow.root_run)
    (listed,) = (await client.approvals.ListApprovals(approvals_pb2.ListApprovalsRequest())).approvals
    shown = await client.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=listed.name))
    approved = decisions_pb2.DECISION_KIND_APPROVED
    request = approvals_pb2.DecideApprovalRequest(name=shown.name, decision=approved, token=shown.token)
    await client.approvals.DecideApproval(request)


async def _resolve(client: Client, flow: flows_pb2.Flow) -> None:
    """Says that the effect which was under way has happened."""
    await seen(client, flow.root_run, "late_report")
    recovery = await client.runs.GetRecovery(runs_pb2.GetRecoveryRequest(name=flow.root_run))
    (doubt,) = recovery.in_doubt
    request = runs_pb2.ResolveEffectRequest(
        name=flow.root_run,
        instance=doubt.instance,
        resolution=fact_events_pb2.RESOLUTION_KIND_DONE,
        report_sequence=doubt.report_sequence,
    )
    await client.runs.ResolveEffect(request)
    await _continue(client, flow.root_run)


async def _continue(client: Client, run: str) -> run_recovery_pb2.Recovery:
    recovery = await client.runs.GetRecovery(runs_pb2.GetRecoveryRequest(name=run))
    await client.runs.ContinueRun(
        runs_pb2.ContinueRunRequest(
            name=run, answers_sequence=recovery.answers_sequence, request_id=f"continue-{run[5:]}"
        )
    )
    return recovery


async def test_a_control_plane_that_is_started_while_its_database_is_away_asks_to_be_started_again(
    tmp_path: pathlib.Path,
) -> None:
    nobody = f"postgresql://somebody:hidden@127.0.0.1:{free_port()},127.0.0.1:{free_port()}/perdure"
    command = (PROGRAM, "control-plane", "--port", "0", "--data-dir", str(tmp_path))
    environment = {**os.environ, "PERDURE_CONTROL_PLANE_DATABASE": nobody}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()

    assert process.returncode == 69
    assert "the database cannot be reached" in said.decode()
    assert "hidden" not in said.decode()

"""Several control planes on one PostgreSQL: it does not matter at which of them one asks, or which of them is lost."""

import asyncio
import pathlib
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from perdure.v1 import approvals_pb2, decisions_pb2, flows_pb2, run_states_pb2, runs_pb2, server_pb2
from perdure_services.keys import KeysUnusable
from tests.postgres import PostgresServer

PROGRAM = pathlib.Path(sys.executable).with_name("perdure-server")

WORK = """
playbook_id: work
version: 1.0.0
title: Work
objective: Call a function
nodes:
  - {id: work, type: function, function: work, effect: at_most_once}
"""

GATED = """
playbook_id: gated
version: 1.0.0
title: A gate
objective: Ask before the work
nodes:
  - {id: gate, type: approval, prompt: go on?}
  - {id: work, type: function, function: work, effect: at_most_once}
"""

Join = Callable[..., Awaitable[Any]]


@pytest.fixture
async def join(serve: Any, postgres: PostgresServer, stack: AsyncExitStack, tmp_path: pathlib.Path) -> Join:
    """Starts a control plane on the test's one database."""
    database = await postgres.make()
    stack.push_async_callback(postgres.drop, database)
    url = database.render_as_string(hide_password=False)

    async def start(life: AsyncExitStack = stack, **flags: Any) -> Any:
        service = await serve(life, **{"database": url, "data_dir": tmp_path / "shared", **flags})
        service.database = url
        return service

    return start


async def done(call: Any) -> None:
    return None


async def events(service: Any, flow: Any) -> list[Any]:
    """A run's events as they are watched, to its end."""
    watch = service.runs.WatchRun(runs_pb2.WatchRunRequest(name=flow.root_run))
    return [item.event async for item in watch if item.HasField("event")]


async def test_what_is_started_at_one_is_worked_on_at_another_and_seen_at_both(join: Join, hire: Any) -> None:
    here, there = await join(), await join()
    await hire(here, {"work": done})

    flow = await there.start(WORK)
    seen_here, seen_there = await asyncio.gather(events(here, flow), events(there, flow))

    assert (await there.settled(flow)).status == flows_pb2.Flow.STATUS_SUCCEEDED
    assert [event.sequence for event in seen_here] == list(range(1, len(seen_here) + 1))
    assert seen_here == seen_there


async def test_a_decision_at_one_reaches_the_run_that_the_other_hands_out(join: Join, hire: Any) -> None:
    here, there = await join(), await join()
    await hire(here, {"work": done})
    flow = await there.start(GATED)
    await there.until(flow, lambda event: event.event.HasField("wait_opened"))
    (approval,) = (await there.approvals.ListApprovals(approvals_pb2.ListApprovalsRequest())).approvals

    shown = await there.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=approval.name))
    approved = decisions_pb2.DECISION_KIND_APPROVED
    request = approvals_pb2.DecideApprovalRequest(name=approval.name, decision=approved, token=shown.token)
    await there.approvals.DecideApproval(request)

    assert (await here.settled(flow)).status == flows_pb2.Flow.STATUS_SUCCEEDED


async def test_a_stop_at_one_ends_what_runs_under_the_other(join: Join, hire: Any) -> None:
    here, there = await join(), await join()
    began = asyncio.Event()

    async def lasts(call: Any) -> None:
        began.set()
        await asyncio.Event().wait()

    await hire(here, {"work": lasts})
    flow = await there.start(WORK.replace("at_most_once", "none"))
    await began.wait()

    await there.runs.InterruptRun(runs_pb2.InterruptRunRequest(name=flow.root_run))

    last = (await events(there, flow))[-1]
    assert last.event.run_ended.state == run_states_pb2.RUN_STATE_INTERRUPTED


async def test_work_goes_on_at_another_when_its_control_plane_is_lost(join: Join, hire: Any) -> None:
    life = AsyncExitStack()
    lost, there = await join(life), await join()
    began, may_end = asyncio.Event(), asyncio.Event()

    async def work(call: Any) -> None:
        began.set()
        await may_end.wait()

    lost.address = f"ipv4:{lost.address},{there.address}"
    await hire(lost, {"work": work})
    flow = await there.start(WORK)
    await began.wait()

    await life.aclose()
    may_end.set()

    ended = await there.settled(flow)
    kinds = [event.event.WhichOneof("kind") for event in await events(there, flow)]
    assert ended.status == flows_pb2.Flow.STATUS_SUCCEEDED
    assert kinds.count("lease_granted") == 1
    assert kinds.count("node_started") == 1


async def test_one_with_other_keys_is_refused(join: Join, tmp_path: pathlib.Path) -> None:
    await join()

    with pytest.raises(KeysUnusable, match="copy theirs"):
        await join(data_dir=tmp_path / "another")


async def test_a_server_says_what_it_keeps_everything_in(join: Join) -> None:
    service = await join()

    info = await service.server.GetServerInfo(server_pb2.GetServerInfoRequest())

    assert info.store == "postgresql"
    assert info.durability == server_pb2.DURABILITY_LOCAL
    assert info.generation == 1


async def test_what_they_have_stored_is_checked_while_they_run(join: Join, hire: Any) -> None:
    service = await join()
    await hire(service, {"work": done})
    await service.settled(await service.start(WORK))

    checking = await asyncio.create_subprocess_exec(
        PROGRAM, "check", "--database", service.database, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await checking.communicate()

    assert checking.returncode == 0
    assert b"SEQUENCE      ok" in out


async def test_when_the_database_cuts_every_connection_they_make_new_ones_and_go_on(
    join: Join, hire: Any, postgres: PostgresServer
) -> None:
    here, there = await join(), await join()
    await hire(here, {"work": done})
    await here.settled(await there.start(WORK))
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"

    await postgres.execute(f"{cut} AND pid <> pg_backend_pid()", make_url(here.database))
    flow = await there.start(WORK, key="after")

    assert (await there.settled(flow)).status == flows_pb2.Flow.STATUS_SUCCEEDED

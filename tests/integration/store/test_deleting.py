"""Retention as the programs have it: what a server does by itself, and what `perdure-server retention` says and does."""

import asyncio
import json
import pathlib
import subprocess
import sys
from contextlib import AsyncExitStack
from typing import Any

import grpc.aio
import pytest
from typer.testing import CliRunner, Result

from perdure.client.errors import call_failed
from perdure.v1 import runs_pb2
from perdure_services.main import app
from perdure_services.settings import load_control_plane, load_embedded

HELLO = """
playbook_id: hello
version: 1.0.0
title: Hello
objective: Say hello
nodes:
  - {id: greet, type: function, function: greet}
"""


async def greet(call: Any) -> dict[str, str]:
    return {"said": "hello"}


async def retention(data_dir: pathlib.Path, *words: str) -> Result:
    """Runs `perdure-server retention`."""
    line = ["retention", "--data-dir", str(data_dir), *words]
    return await asyncio.to_thread(CliRunner().invoke, app, line)


async def reason(service: Any, run: str) -> str:
    """Why a run cannot be read; empty where it can."""
    try:
        await service.runs.GetRun(runs_pb2.GetRunRequest(name=run))
    except grpc.aio.AioRpcError as error:
        return call_failed(error).reason
    return ""


async def test_what_would_go_is_shown_beside_a_server_and_deleted_without_one(serve: Any, hire: Any) -> None:
    async with AsyncExitStack() as life:
        service = await serve(life)
        worker = await hire(service, {"greet": greet})
        flow = await service.settled(await service.start(HELLO))
        shown = await retention(service.data_dir, "--days", "0", "-o", "json")
        held = await retention(service.data_dir, "--days", "0", "--apply")
        await worker.drain()
    done = await retention(service.data_dir, "--days", "0", "--apply")
    again = await retention(service.data_dir)

    told = json.loads(shown.stdout)
    assert (shown.exit_code, held.exit_code, done.exit_code, again.exit_code) == (0, 2, 0, 0)
    assert (told["applied"], told["flows"], told["runs"], told["days"]) == (False, 1, 1, 0)
    assert told["oldest_end_time"] == told["newest_end_time"] != ""
    assert "is held by another server" in held.stderr
    assert done.stdout.startswith("1 flows, settled for 0 days, were deleted: 1 runs, ")
    assert again.stdout == "No flow has been settled for 30 days.\n"
    assert await reason(await serve(), flow.root_run) == "DELETED"


async def test_a_server_deletes_by_itself_what_its_settings_say(serve: Any, hire: Any) -> None:
    async with AsyncExitStack() as life:
        service = await serve(life)
        worker = await hire(service, {"greet": greet})
        flow = await service.settled(await service.start(HELLO))
        await worker.drain()

    service = await serve(retention_days=1e-9, sweep_seconds=0.02)

    while (why := await reason(service, flow.root_run)) == "":  # noqa: ASYNC110  # nobody is told of a deletion
        await asyncio.sleep(0.02)
    assert why == "DELETED"


def test_a_control_plane_deletes_after_thirty_days_and_one_with_its_executor_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_control_plane(None, {}).retention_days == 30
    assert load_embedded(None, {}).retention_days == 0
    monkeypatch.setenv("PERDURE_CONTROL_PLANE_RETENTION_DAYS", "7")
    assert load_embedded(None, {}).retention_days == 7


async def test_who_deletes_nothing_by_settings_must_say_how_old(tmp_path: pathlib.Path) -> None:
    (tmp_path / "server.toml").write_text("[control_plane]\nretention_days = 0\n")

    said = await retention(tmp_path, "--settings", str(tmp_path / "server.toml"))

    assert said.exit_code == 2
    assert "say how old with --days" in said.stderr


INTERRUPTED_AT_THE_FIRST_REST = """
import signal
from perdure_services import main, retention

retain = retention.retain

async def interrupted(store, age, rest):
    async def asked():
        signal.raise_signal(signal.SIGTERM)
        await rest()

    return await retain(store, age, asked)

retention.retain = interrupted
main.app(["retention", "--data-dir", DATA_DIR, "--days", "0", "--apply"])
"""


async def test_deleting_that_is_interrupted_says_what_is_left_and_is_finished_later(serve: Any, hire: Any) -> None:
    async with AsyncExitStack() as life:
        service = await serve(life)
        worker = await hire(service, {"greet": greet})
        await service.settled(await service.start(HELLO))
        await worker.drain()
    planned = json.loads((await retention(service.data_dir, "--days", "0", "-o", "json")).stdout)
    data_dir, events = str(service.data_dir), planned["events"]
    code = INTERRUPTED_AT_THE_FIRST_REST.replace("DATA_DIR", repr(data_dir))

    ended = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True)
    left = await retention(service.data_dir, "--days", "0")
    checked = await asyncio.to_thread(CliRunner().invoke, app, ["check", "--data-dir", data_dir])
    copied = await asyncio.to_thread(
        CliRunner().invoke, app, ["backup", f"{data_dir}-copy", "--data-dir", data_dir, "-o", "json"]
    )
    told = await retention(service.data_dir, "--days", "0", "-o", "json")
    done = await retention(service.data_dir, "--days", "0", "--apply")
    again = await retention(service.data_dir, "--days", "0", "--apply")

    is_left = f"{events} events of 1 deleted run are still to be purged"
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == (
        f"perdure-server: it was interrupted: 1 of 1 flows were deleted, and {is_left}."
        " The same command again goes on, and so does a server that has retention_days\n"
    )
    assert left.stdout.startswith(f"No flow has been settled for 0 days.\n{is_left}: perdure-server retention --apply")
    assert "0 runs, 0 events, no violation" in checked.stderr
    assert is_left in checked.stderr
    assert is_left in copied.stderr
    assert (json.loads(copied.stdout)["runs"], json.loads(copied.stdout)["events"]) == (0, 0)
    assert (json.loads(told.stdout)["unpurged_runs"], json.loads(told.stdout)["unpurged_events"]) == (1, events)
    assert f"{events} events of 1 runs were purged, which had been deleted before." in done.stdout
    assert again.stdout == "No flow has been settled for 0 days.\n"

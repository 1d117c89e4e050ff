"""A store that cannot be used stops the program with one plain sentence; a full disk stops nothing for good."""

import asyncio
import contextlib
import errno
import os
import pathlib
import sqlite3
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from perdure.v1 import flows_pb2, runs_pb2, sessions_pb2
from perdure_control_plane.storage.store_broken import StoreBroken
from perdure_control_plane.usecases.changes import Changes

PROGRAM = pathlib.Path(sys.executable).with_name("perdure-server")
UNUSABLE = 2

WAITING = """
playbook_id: waiting
version: 1.0.0
title: Waiting
objective: Work while the disk is full
nodes:
  - {id: wait, type: function, function: wait}
  - {id: after, type: function, function: after, effect: at_most_once}
"""


async def start(data_dir: pathlib.Path) -> tuple[int, str]:
    """Starts a control plane that will not come up; its exit code and all that it printed."""
    program = await asyncio.create_subprocess_exec(
        PROGRAM, "control-plane", "--data-dir", data_dir, "--port", "0", stderr=asyncio.subprocess.PIPE
    )
    _, said = await program.communicate()
    return program.returncode or 0, said.decode().strip()


async def test_a_damaged_store_is_not_opened_and_not_replaced(serve: Any, tmp_path: pathlib.Path) -> None:
    data_dir = tmp_path / "damaged"
    data_dir.mkdir()
    damaged = data_dir / "perdure.db"
    damaged.write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)
    before = damaged.read_bytes()

    code, said = await start(data_dir)

    assert code == UNUSABLE
    assert said == f"perdure-server: {damaged}: the file is not a database; restore a backup into an empty directory"
    assert damaged.read_bytes() == before


async def test_a_store_with_a_page_that_is_damaged_is_not_opened(
    serve: Any, stack: Any, tmp_path: pathlib.Path
) -> None:
    service = await serve()
    for number in range(200):
        await service.sessions.CreateSession(sessions_pb2.CreateSessionRequest(session_id=f"session-{number}"))
    await stack.aclose()
    database = service.data_dir / "perdure.db"
    pages = bytearray(database.read_bytes())
    pages[4096 * 4 : -4096] = os.urandom(len(pages) - 4096 * 5)
    database.write_bytes(pages)

    code, said = await start(service.data_dir)

    assert (code, said.endswith("restore a backup into an empty directory")) == (UNUSABLE, True)


async def test_a_store_of_a_newer_version_is_not_opened(serve: Any, stack: Any) -> None:
    service = await serve()
    await stack.aclose()
    with contextlib.closing(sqlite3.connect(service.data_dir / "perdure.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")

    code, said = await start(service.data_dir)

    assert code == UNUSABLE
    assert said == (
        "perdure-server: the database has schema 9999, which this version does not know; it was written by a newer"
        " server: start that version, or restore a backup made before the upgrade"
    )


async def test_a_second_server_does_not_take_a_directory_that_is_held(serve: Any) -> None:
    service = await serve()

    code, said = await start(service.data_dir)

    assert code == UNUSABLE
    assert said == (
        f"perdure-server: {service.data_dir} is held by another server (process {os.getpid()}); stop it, or name"
        " another directory"
    )


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A disk of 16 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(ballast: pathlib.Path) -> None:
    """Writes until the disk has no room left."""
    block = b"x" * 4096
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        deque((file.write(block) for _ in range(100_000)), maxlen=0)


async def start_many_more(service: Any, flow: flows_pb2.Flow) -> None:
    """Starts more flows than fit onto the small disk."""
    for number in range(400):
        request = flows_pb2.StartFlowRequest(
            playbook_version=flow.playbook_version,
            digest=flow.digest,
            session=flow.session,
            idempotency_key=f"another-{number}",
            request=flows_pb2.FlowRequest(content="x" * 50_000),
        )
        await service.flows.StartFlow(request)


def reason_of(error: grpc.aio.AioRpcError) -> str:
    status = rpc_status.from_call(error)
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason


async def test_a_run_goes_on_when_a_full_disk_has_room_again(serve: Any, hire: Any, small_disk: pathlib.Path) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    done = []

    async def wait(call: Any) -> dict[str, str]:
        begun.set()
        await go_on.wait()
        return {"text": "x" * 500_000}

    async def after(call: Any) -> None:
        done.append(call.node)

    service = await serve(data_dir=small_disk / "data")
    await hire(service, {"wait": wait, "after": after})
    flow = await service.start(WAITING)
    await begun.wait()
    fill(small_disk / "ballast")

    go_on.set()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await start_many_more(service, flow)
    assert reason_of(refused.value) == "STORE_UNAVAILABLE"
    assert "the disk is full; free some space" in (refused.value.details() or "")
    assert done == []  # its start is not stored, so it has not begun

    (small_disk / "ballast").unlink()
    settled = await service.settled(flow)
    assert flows_pb2.Flow.Status.Name(settled.status) == "STATUS_SUCCEEDED"
    assert done == ["after"]
    run = await service.runs.GetRun(runs_pb2.GetRunRequest(name=settled.root_run))
    assert run.last_sequence > 0


async def test_a_server_whose_writer_an_error_has_ended_stops_and_says_so(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Changes, "committed", fail)
    stop, stack = asyncio.Event(), contextlib.AsyncExitStack()
    service = await serve(stack, stop)
    await service.start(WAITING)

    await stop.wait()

    with pytest.raises(StoreBroken, match=r"an error has ended the store's writer.*start the server again"):
        await stack.aclose()


async def test_a_server_that_finds_its_store_damaged_stops_and_says_what_to_do(serve: Any, stack: Any) -> None:
    service = await serve()
    for number in range(200):
        await service.sessions.CreateSession(sessions_pb2.CreateSessionRequest(session_id=f"session-{number}"))
    await stack.aclose()
    stop, again = asyncio.Event(), contextlib.AsyncExitStack()
    service = await serve(again, stop, data_dir=service.data_dir)
    database = service.data_dir / "perdure.db"
    with database.open("r+b") as file:  # in place, as a fault of the disk would
        file.seek(4096)
        file.write(os.urandom(database.stat().st_size - 4096))

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.sessions.ListSessions(sessions_pb2.ListSessionsRequest(page_size=1000))
    await stop.wait()

    sentence = "the database is damaged; look at the disk, and restore a backup into an empty directory"
    assert (refused.value.details(), reason_of(refused.value)) == (sentence, "STORE_UNAVAILABLE")
    with pytest.raises(StoreBroken, match=sentence):
        await again.aclose()


@pytest.mark.parametrize("where", ["a file", "a place where none can be made", "a file in its midst", "a lost right"])
async def test_a_data_directory_that_cannot_be_used_is_said_in_a_sentence(tmp_path: pathlib.Path, where: str) -> None:
    data_dir = {"a place where none can be made": pathlib.Path("/proc/perdure")}.get(where, tmp_path / "data")
    if where == "a file":
        data_dir.touch()
    elif where == "a lost right":
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        data_dir.mkdir(mode=0o500)
    elif where == "a file in its midst":
        (data_dir / "perdure.starts").mkdir(parents=True)

    code, said = await start(data_dir)

    assert code == UNUSABLE
    assert said.startswith("perdure-server: ")
    assert str(data_dir) in said
    assert len(said.splitlines()) == 1

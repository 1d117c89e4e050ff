"""What the log of a control plane calls a time without a server, and a start that came to nothing."""

import contextlib
import json
import pathlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from perdure.v1 import sessions_pb2
from perdure.v1.sessions_pb2_grpc import SessionServiceStub

PROGRAM = pathlib.Path(sys.executable).with_name("perdure-server")


@contextlib.contextmanager
def server(data_dir: pathlib.Path) -> Iterator[Iterator[dict[str, Any]]]:
    """A control plane as a process; gives the lines of its log as they come."""
    command = [PROGRAM, "control-plane", "--port", "0", "--data-dir", data_dir, "--log-format", "json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        yield (json.loads(line) for line in process.stderr if line.startswith("{"))
        process.terminate()


def test_a_time_in_which_no_server_ran_is_no_outage_of_the_store(tmp_path: pathlib.Path) -> None:
    with server(tmp_path) as log:
        assert any(line["event"] == "server.started" for line in log)
    with contextlib.closing(sqlite3.connect(tmp_path / "perdure.db")) as database, database:
        database.execute("INSERT OR REPLACE INTO sweeps VALUES ('sweep', 1000000)")

    with server(tmp_path) as log:
        said = next(line for line in log if line["event"] in ("server.was_down", "store.outage"))

    assert said["event"] == "server.was_down"
    assert said["seconds"] > 0


def test_a_server_that_did_not_start_does_not_say_that_it_stopped(tmp_path: pathlib.Path) -> None:
    (tmp_path / "keys.json").touch(mode=0o644)

    with server(tmp_path) as log:
        said = [line["event"] for line in log]

    assert said == []


def test_a_server_whose_log_is_taken_no_more_serves_all_the_same(tmp_path: pathlib.Path) -> None:
    command = [PROGRAM, "control-plane", "--port", "0", "--data-dir", tmp_path, "--log-format", "json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = next(json.loads(line)["address"] for line in process.stderr if "server.started" in line)
        process.stderr.close()
        with grpc.insecure_channel(address) as channel:
            sessions: Any = SessionServiceStub(channel)
            with pytest.raises(grpc.RpcError) as refused:
                sessions.GetSession(sessions_pb2.GetSessionRequest(name="sessions/nobody"), timeout=20)
            created = sessions.CreateSession(sessions_pb2.CreateSessionRequest(session_id="somebody"), timeout=20)
        process.terminate()

    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert created.name == "sessions/somebody"
    assert process.returncode == 0

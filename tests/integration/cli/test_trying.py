"""`perdure run`: one command from a file to the end of its run, and refused where callers must say who they are."""

import asyncio
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from typer.testing import CliRunner

from perdure.cli.main import app
from perdure.v1 import server_pb2, server_pb2_grpc

ECHO = """
playbook_id: echo
version: 1.0.0
title: Echo
objective: Say it again
inputs: {type: object, properties: {what: {type: string}}, required: [what]}
nodes:
  - {id: say, type: deterministic, command: echo, args: ["{{ what }}"], effect: none}
"""


@pytest.fixture
def manifest(tmp_path: pathlib.Path) -> pathlib.Path:
    file = tmp_path / "echo.yaml"
    file.write_text(ECHO)
    return file


def test_a_file_is_checked_stored_published_as_a_trial_started_and_followed(
    perdure: Any, manifest: pathlib.Path
) -> None:
    told = perdure("run", manifest, "--input", "what=hello", "-o", "json")

    flow = told.document
    assert (told.code, flow["status"], flow["session"]) == (0, "STATUS_SUCCEEDED", "sessions/trial")
    assert "say:1#1 succeeded" in told.err
    version = perdure.done("playbooks", "get", "echo", "--version", "1.0.0")
    assert version["publication"] == "PUBLICATION_VERIFIED"
    assert version["evidence"][0]["kind"] == "trial"
    assert perdure("tasks", "output", flow["primitive_refs"]["tasks"][0]).out == "hello\n"


def test_the_same_file_again_is_another_flow_of_the_same_version(perdure: Any, manifest: pathlib.Path) -> None:
    flows = [perdure.done("run", manifest, "--input", f"what={word}") for word in ("one", "two")]

    assert flows[0]["name"] != flows[1]["name"]
    assert flows[0]["digest"] == flows[1]["digest"]


def test_a_file_that_changed_under_its_version_is_refused(perdure: Any, manifest: pathlib.Path) -> None:
    perdure.done("run", manifest, "--input", "what=hello")
    manifest.write_text(ECHO.replace("Echo", "Parrot"))

    told = perdure("run", manifest, "--input", "what=hello")

    assert told.code == 5
    assert "Next:  a stored version never changes: raise `version` in the manifest" in told.err


def test_a_faulty_file_is_not_stored(perdure: Any, manifest: pathlib.Path) -> None:
    manifest.write_text(ECHO.replace("playbook_id: echo", "playbook_id: faulty").replace("command: echo, ", ""))

    told = perdure("run", manifest)

    assert told.code == 1
    assert "error: nodes[0]" in told.err
    assert "the manifest has faults, so nothing was stored" in told.err
    assert perdure("playbooks", "get", "faulty").code == 3


class Guarded(server_pb2_grpc.ServerServiceServicer):
    """A server that asks callers who they are. It offers nothing else, so whatever else is called fails."""

    async def GetServerInfo(self, request: Any, context: Any) -> Any:  # noqa: N802  # the RPC's name
        return server_pb2.ServerInfo(authentication=server_pb2.AUTHENTICATION_REQUIRED)


@pytest.fixture
def guarded() -> Iterator[str]:
    """The address of a guarded server, which runs in a thread of its own."""
    address: list[str] = []
    serving, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        server = grpc.aio.server()
        server_pb2_grpc.add_ServerServiceServicer_to_server(Guarded(), server)
        address.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
        await server.start()
        serving.set()
        await stop.wait()
        await server.stop(None)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert serving.wait(20)
    yield address[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def test_where_callers_must_say_who_they_are_a_trial_is_refused(guarded: str, manifest: pathlib.Path) -> None:
    told = CliRunner().invoke(app, ["run", str(manifest), "--server", guarded], prog_name="perdure")

    assert told.exit_code == 4
    assert "this server starts what was reviewed, and a trial is no review" in told.stderr
    assert "Next:  perdure playbooks create, perdure playbooks publish, perdure flows start" in told.stderr

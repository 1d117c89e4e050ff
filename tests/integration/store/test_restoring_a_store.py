"""A server that is started on a copy of its store from earlier notices, and asks before anything is done again."""

import pathlib
import shutil
from contextlib import AsyncExitStack
from typing import Any

from perdure.v1 import run_states_pb2, runs_pb2, server_pb2

PLAYBOOK = """
playbook_id: careful
version: 1.0.0
title: Something that matters
objective: Ask, then publish
nodes:
  - {id: gate, type: approval, prompt: publish?}
  - {id: publish, type: function, function: publish, effect: at_most_once}
"""


async def test_a_store_from_an_older_copy_is_another_generation_and_holds_its_runs(
    serve: Any, tmp_path: pathlib.Path
) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    async with AsyncExitStack() as first:
        service = await serve(first)
        flow = await service.start(PLAYBOOK)
        begun = await service.server.GetServerInfo(server_pb2.GetServerInfoRequest())
    shutil.copytree(data, copy)
    async with AsyncExitStack() as second:
        went_on = await (await serve(second)).server.GetServerInfo(server_pb2.GetServerInfoRequest())
    for database in data.glob("perdure.db*"):
        database.unlink()
    for database in copy.glob("perdure.db*"):
        shutil.copy(database, data)

    async with AsyncExitStack() as third:
        service = await serve(third)
        restored = await service.server.GetServerInfo(server_pb2.GetServerInfoRequest())
        run = await service.runs.GetRun(runs_pb2.GetRunRequest(name=flow.root_run))

    assert (went_on.generation, restored.generation) == (begun.generation, begun.generation + 1)
    assert run.state == run_states_pb2.RUN_STATE_PAUSED
    assert run.pause_reason == runs_pb2.PAUSE_REASON_STORE_RESTORED

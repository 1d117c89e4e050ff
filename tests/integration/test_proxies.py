"""Where the environment names a proxy for the web: nothing on this machine is reached through it."""

import asyncio
import os
import pathlib
import sys
from typing import Any

from perdure.v1 import flows_pb2

PERDURE = pathlib.Path(sys.executable).with_name("perdure")
NOBODY = "http://127.0.0.1:9"
"""A proxy that does not answer."""

ONE = """
playbook_id: one
version: 1.0.0
title: One
objective: Run one command
nodes:
  - {id: act, type: deterministic, command: "true", effect: none}
"""


async def test_an_executor_and_the_command_line_reach_a_server_on_this_machine_past_a_proxy(
    serve: Any, employ: Any
) -> None:
    service = await serve()
    employ(service, "behind", http_proxy=NOBODY)

    ended = await service.settled(await service.start(ONE))
    environment = {**os.environ, "http_proxy": NOBODY, "PERDURE_SERVER": service.address}
    asked = await asyncio.create_subprocess_exec(
        PERDURE, "flows", "get", ended.name, env=environment, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await asked.communicate()

    assert ended.status == flows_pb2.Flow.STATUS_SUCCEEDED
    assert asked.returncode == 0
    assert b"succeeded" in answer

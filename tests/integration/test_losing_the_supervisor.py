"""A command whose supervisor is lost: nobody knows what it did, and what must not happen twice is held for a person."""

import os
import signal
from typing import Any

from perdure.v1 import instances_pb2, runs_pb2

PUBLISHING = """
playbook_id: publishing
version: 1.0.0
title: Publishing
objective: Do something that must not be done twice
nodes:
  - {id: publish, type: deterministic, command: sh, args: ["-c", "echo $PPID; sleep 60"], effect: at_most_once}
"""


async def test_an_effect_that_must_not_be_repeated_is_in_doubt_when_its_supervisor_is_lost(
    serve: Any, hire: Any
) -> None:
    service = await serve()
    await hire(service)
    flow = await service.start(PUBLISHING)
    printed = await service.until(flow, lambda recorded: recorded.event.HasField("task_output"))

    os.kill(int(printed.event.task_output.content), signal.SIGKILL)

    await service.until(flow, lambda recorded: recorded.event.HasField("run_paused"))
    recovery = await service.runs.GetRecovery(runs_pb2.GetRecoveryRequest(name=flow.root_run))
    run = await service.runs.GetRun(runs_pb2.GetRunRequest(name=flow.root_run))
    assert [doubt.instance for doubt in recovery.in_doubt] == ["publish:1#1"]
    assert run.pause_reason == runs_pb2.PAUSE_REASON_EFFECT_IN_DOUBT
    assert run.failure_cause == instances_pb2.FAILURE_CAUSE_UNSPECIFIED

"""An executor whose supervisor is lost: nobody knows what a command did that ran, and no other is begun there."""

import asyncio
import os
import pathlib
import signal
import subprocess
import sys
from typing import Any

import pytest

from perdure.v1 import flows_pb2, instances_pb2, run_events_pb2, runs_pb2
from perdure_executor import clock
from perdure_executor.commands import Supervisor, SupervisorLost
from perdure_executor.worker import SUPERVISOR_LOST_EXIT_CODE

PROGRAM = pathlib.Path(sys.executable).with_name("perdure-server")

PUBLISHING = """
playbook_id: publishing
version: 1.0.0
title: Publishing
objective: Do something that must not be done twice
nodes:
  - {id: publish, type: deterministic, command: sh, args: ["-c", "echo $PPID; sleep 60"], effect: at_most_once}
"""

REPEATABLE = """
playbook_id: repeatable
version: 1.0.0
title: Repeatable
objective: Do something that may be done twice
nodes:
  - id: act
    type: deterministic
    command: sh
    args: ["-c", "echo $PPID; test -e been && exit; touch been; sleep 60"]
    effect: none
    on_failure: {max_iterations: 1}
"""

FOLLOWING = """
playbook_id: following
version: 1.0.0
title: Following
objective: Run a command after a function
nodes:
  - {id: name, type: deterministic, command: sh, args: ["-c", "echo $PPID"], effect: none}
  - {id: wait, type: function, function: wait, effect: at_most_once}
  - {id: publish, type: deterministic, command: "true", effect: at_most_once, on_failure: {max_iterations: 1}}
"""


async def printed_pid(service: Any, flow: flows_pb2.Flow) -> int:
    """The supervisor's process id, as a flow's command prints it."""
    printed = await service.until(flow, lambda recorded: recorded.event.HasField("task_output"))
    return int(printed.event.task_output.content)


async def events(service: Any, flow: flows_pb2.Flow) -> list[Any]:
    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run, page_size=500))
    return [recorded.event for recorded in listed.events]


async def test_an_effect_that_must_not_be_repeated_is_in_doubt_when_its_supervisor_is_lost(
    serve: Any, hire: Any
) -> None:
    service = await serve()
    await hire(service)
    flow = await service.start(PUBLISHING)

    os.kill(await printed_pid(service, flow), signal.SIGKILL)

    await service.until(flow, lambda recorded: recorded.event.HasField("run_paused"))
    recovery = await service.runs.GetRecovery(runs_pb2.GetRecoveryRequest(name=flow.root_run))
    run = await service.runs.GetRun(runs_pb2.GetRunRequest(name=flow.root_run))
    assert [doubt.instance for doubt in recovery.in_doubt] == ["publish:1#1"]
    assert run.pause_reason == runs_pb2.PAUSE_REASON_EFFECT_IN_DOUBT
    assert run.failure_cause == instances_pb2.FAILURE_CAUSE_UNSPECIFIED


async def test_an_executor_without_its_supervisor_leaves_and_its_work_is_done_elsewhere(
    serve: Any, employ: Any
) -> None:
    service = await serve()
    executor = employ(service, "losing")
    flow = await service.start(REPEATABLE)

    os.kill(await printed_pid(service, flow), signal.SIGKILL)
    code = await asyncio.to_thread(executor.process.wait)
    employ(service, "next")
    done = await service.settled(flow)

    settled = [event.node_settled.outcome for event in await events(service, flow) if event.HasField("node_settled")]
    assert code == SUPERVISOR_LOST_EXIT_CODE
    assert [line["event"] for line in executor.log_lines() if line["level"] == "error"] == [
        "supervisor.lost",
        "executor.leaves",
    ]
    assert done.status == flows_pb2.Flow.STATUS_SUCCEEDED
    assert settled == [instances_pb2.OUTCOME_STOPPED, instances_pb2.OUTCOME_SUCCEEDED]


async def test_a_command_that_has_not_begun_when_the_supervisor_is_lost_is_done_elsewhere_and_nobody_is_asked(
    serve: Any, hire: Any
) -> None:
    service, may_end = await serve(), asyncio.Event()

    async def wait(call: Any) -> None:
        call.log("begun")
        await may_end.wait()

    await hire(service, {"wait": wait}, drain_seconds=60.0, name="losing")
    flow = await service.start(FOLLOWING)
    pid = await printed_pid(service, flow)
    await service.until(flow, lambda recorded: recorded.event.log_line.text == "begun")

    os.kill(pid, signal.SIGKILL)
    may_end.set()
    await hire(service, {"wait": wait}, name="next")
    done = await service.settled(flow)

    stored = await events(service, flow)
    assert done.status == flows_pb2.Flow.STATUS_SUCCEEDED
    assert not [event for event in stored if event.HasField("node_in_doubt")]
    assert [event.lease_returned.cause for event in stored if event.HasField("lease_returned")] == [
        run_events_pb2.RETURN_CAUSE_DRAINING
    ]


async def test_a_command_that_a_lost_supervisor_never_heard_of_is_known_not_to_have_begun(
    tmp_path: pathlib.Path,
) -> None:
    supervisor = Supervisor()
    supervisor.start()
    await supervisor.feed_work_end(clock.seconds() + 60)
    running = await supervisor.run(["sh", "-c", "echo $PPID; sleep 60"], str(tmp_path), dict(os.environ), b"")
    os.kill(int(await asyncio.to_thread(os.read, running.stdout, 100)), signal.SIGKILL)

    with pytest.raises(SupervisorLost) as ran:
        await running.ended
    with pytest.raises(SupervisorLost) as never_ran:
        await supervisor.run(["true"], str(tmp_path), {}, b"")

    for descriptor in (running.stdout, running.stderr):
        os.close(descriptor)
    await supervisor.stop()
    assert (ran.value.told, never_ran.value.told) == (True, False)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which processes one has started")
def test_control_plane_and_executor_in_one_process_end_together(tmp_path: pathlib.Path) -> None:
    command = [PROGRAM, "up", "--port", "0", "--data-dir", str(tmp_path / "data"), "--log-format", "json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=tmp_path, text=True) as up:
        assert up.stderr is not None
        while '"stream.opened"' not in up.stderr.readline():
            pass
        (supervisor,) = pathlib.Path(f"/proc/{up.pid}/task/{up.pid}/children").read_text().split()

        os.kill(int(supervisor), signal.SIGKILL)
        said = up.stderr.read()

    assert up.returncode == SUPERVISOR_LOST_EXIT_CODE
    assert '"server.stopped"' in said
    assert "Traceback" not in said

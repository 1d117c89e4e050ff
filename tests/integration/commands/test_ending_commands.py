"""How commands are ended: with everything they have started, whoever ends them and however the executor went."""

import asyncio
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from perdure.v1 import flows_pb2, instances_pb2, runs_pb2, tasks_pb2
from perdure_executor import clock
from perdure_executor.commands import CommandNotStarted, Supervisor

DEAF = "trap '' TERM; echo up > signpost; while :; do sleep 60; done"
"""A shell that does not end when it is asked to, and starts others."""

ONCE_DEAF = f"test -e been && exit 0; touch been; {DEAF.replace('signpost', '../signpost')}"
"""Deaf the first time, and done at once the next."""

FAMILY = f'sh -c "{DEAF}" & wait'
"""A command whose child is deaf."""


async def test_a_time_limit_ends_the_whole_group_also_what_does_not_listen(
    workshop: Any, signpost: Any, tmp_path: pathlib.Path, nothing_runs_below: Any
) -> None:
    ended, _ = await asyncio.gather(workshop.run(sh=FAMILY, timeout_ms=1000), signpost.reached())

    assert ended.settled.cause == instances_pb2.FAILURE_CAUSE_NODE_TIMED_OUT
    assert ended.reason == "TIMED_OUT"
    await nothing_runs_below(tmp_path)


async def test_a_time_limit_of_an_effect_that_may_not_be_repeated_leaves_it_in_doubt(
    workshop: Any, signpost: Any
) -> None:
    flow = await workshop.start(sh=DEAF, timeout_ms=1000, effect="at_most_once")
    await signpost.reached()

    doubt = await workshop.service.until(flow, lambda recorded: recorded.event.HasField("node_in_doubt"))

    assert doubt.event.node_in_doubt.cause == instances_pb2.FAILURE_CAUSE_NODE_TIMED_OUT


async def test_a_command_that_is_asked_to_end_may_tidy_up(
    serve: Any, hire: Any, commands: Any, signpost: Any, tmp_path: pathlib.Path
) -> None:
    service = await serve()
    await hire(service, kill_grace_seconds=60.0)
    tidy = "trap 'echo done > tidied; exit' TERM; echo up > signpost; sleep 600 & wait"

    ended, _ = await asyncio.gather(commands(service).run(sh=tidy, timeout_ms=1000), signpost.reached())

    assert ended.reason == "TIMED_OUT"
    assert (tmp_path / "tidied").read_text() == "done\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which signals a process ignores")
async def test_no_command_is_deaf_from_the_start_to_what_ends_it(workshop: Any) -> None:
    ended = await workshop.run(command="grep", args=["SigIgn", "/proc/self/status"])

    ignored = int(ended.output["stdout"].split()[1], 16)
    enders = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD)
    assert [number for number in enders if ignored >> (number - 1) & 1] == []


async def test_what_a_command_leaves_behind_in_its_group_ends_with_it(
    workshop: Any, signpost: Any, tmp_path: pathlib.Path, nothing_runs_below: Any
) -> None:
    ended, _ = await asyncio.gather(workshop.run(sh=f'sh -c "{DEAF}" & read up < signpost'), asyncio.sleep(0))

    assert ended.status == "SUCCEEDED"
    await nothing_runs_below(tmp_path)


async def test_cancelling_a_run_ends_its_command(
    workshop: Any, signpost: Any, tmp_path: pathlib.Path, nothing_runs_below: Any
) -> None:
    flow = await workshop.start(sh=FAMILY)
    await signpost.reached()

    await workshop.service.runs.CancelRun(runs_pb2.CancelRunRequest(name=flow.root_run))
    ended = await workshop.ended(flow)

    assert ended.status == "CANCELLED"
    assert ended.reason == "STOPPED"
    await nothing_runs_below(tmp_path)


async def test_a_command_that_is_stopped_while_it_starts_does_not_run_on(
    workshop: Any, tmp_path: pathlib.Path, nothing_runs_below: Any
) -> None:
    ended = await workshop.run(command="sleep", args=["600"], timeout_ms=1)

    assert ended.reason == "TIMED_OUT"
    await nothing_runs_below(tmp_path)


async def test_what_was_printed_a_second_before_the_executor_is_killed_can_be_read(
    serve: Any, employ: Any, commands: Any, signpost: Any, short_leases: Any
) -> None:
    service = await serve(**short_leases)
    workshop = commands(service)
    executor = employ(service, "lost")
    flow = await workshop.start(sh="echo printed; sleep 1; echo up > signpost; sleep 600", effect="at_most_once")
    await signpost.reached()

    executor.kill()

    await service.until(flow, lambda recorded: recorded.event.HasField("lease_revoked"))
    assert [piece.content for piece in await workshop.printed()] == [b"printed\n"]
    task = await workshop.task()
    assert task.terminal_reason == tasks_pb2.TERMINAL_REASON_EXECUTOR_LOST
    held = await service.flows.GetFlow(flows_pb2.GetFlowRequest(name=flow.name))
    assert flows_pb2.Flow.Status.Name(held.status) == "STATUS_WAITING"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "suspended"])
async def test_an_executor_that_is_killed_or_suspended_leaves_nothing_running(
    serve: Any, employ: Any, commands: Any, signpost: Any, short_leases: Any, tmp_path: pathlib.Path,
    running_below: Any, nothing_runs_below: Any, number: signal.Signals,
) -> None:  # fmt: skip
    service = await serve(**short_leases)
    executor = employ(service, "lost")
    inside = tmp_path / "inside"
    inside.mkdir()
    await commands(service).start(sh=FAMILY.replace("signpost", "../signpost"), cwd="inside")
    await signpost.reached()
    assert len(running_below(inside)) >= 2

    executor.process.send_signal(number)

    # Killed: at once. Suspended: when the work end has passed that it had named to its supervisor.
    await nothing_runs_below(inside)
    executor.process.send_signal(signal.SIGKILL)


async def test_a_command_whose_executor_was_suspended_took_as_long_as_it_ran(
    serve: Any, employ: Any, commands: Any, signpost: Any, tmp_path: pathlib.Path, nothing_runs_below: Any
) -> None:
    service = await serve()
    workshop, executor = commands(service), employ(service, "suspended")
    inside, gate = tmp_path / "inside", tmp_path / "gate"
    inside.mkdir()
    os.mkfifo(gate)
    asked = time.monotonic()
    flow = await workshop.start(sh="echo up > ../signpost; cat ../gate", cwd="inside")
    await signpost.reached()
    reached = time.monotonic()

    executor.process.send_signal(signal.SIGSTOP)
    await asyncio.to_thread(gate.write_text, "go on\n")
    await nothing_runs_below(inside)
    # It is suspended for longer than the command can have run, and a second more for the supervisor to notice its end.
    await asyncio.sleep(time.monotonic() - asked + 1.0)
    resumed = time.monotonic()
    executor.process.send_signal(signal.SIGCONT)

    ended = await workshop.ended(flow)
    assert ended.status == "SUCCEEDED"
    assert ended.task.result.duration.ToMicroseconds() / 1e6 < resumed - reached


@pytest.mark.parametrize("effect", ["at_most_once", "none"])
async def test_a_command_that_was_killed_at_the_work_end_has_not_failed_but_is_in_doubt_or_done_again(
    serve: Any, employ: Any, commands: Any, signpost: Any, short_leases: Any, tmp_path: pathlib.Path,
    nothing_runs_below: Any, effect: str,
) -> None:  # fmt: skip
    # Nobody looks for lapsed leases here: the executor still holds its run when it goes on.
    service = await serve(**{**short_leases, "sweep_seconds": 600.0})
    workshop, executor = commands(service), employ(service, "suspended")
    inside = tmp_path / "inside"
    inside.mkdir()
    flow = await workshop.start(sh=ONCE_DEAF, cwd="inside", effect=effect)
    await signpost.reached()

    executor.process.send_signal(signal.SIGSTOP)
    await nothing_runs_below(inside)
    executor.process.send_signal(signal.SIGCONT)

    if effect == "none":
        ended = await workshop.ended(flow)
        assert ended.status == "SUCCEEDED"
        assert ended.settled.cause == instances_pb2.FAILURE_CAUSE_STOPPED
    else:
        became = {"node_in_doubt", "node_settled"}
        said = await service.until(flow, lambda recorded: recorded.event.WhichOneof("kind") in became)
        assert said.event.node_in_doubt.cause == instances_pb2.FAILURE_CAUSE_STOPPED


LOSING = """
import asyncio, os, signal, sys
from perdure_executor import clock
from perdure_executor.commands import Supervisor, SupervisorLost

async def main():
    supervisor = Supervisor()
    supervisor.start()
    await supervisor.feed_work_end(clock.seconds() + 600)
    asked = await supervisor.run(["sh", "-c", "echo $PPID"], "/", {"PATH": os.environ["PATH"]}, b"")
    await asked.ended
    pid = int(os.read(asked.stdout, 100))
    before = len(os.listdir("/dev/fd"))
    starting = asyncio.ensure_future(supervisor.run(["true"], "/", {}, b""))
    if sys.argv[1] == "unanswered":
        os.kill(pid, signal.SIGSTOP)
        for _ in range(20):
            await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        await starting
    except SupervisorLost:
        print("lost", len(os.listdir("/dev/fd")) - before)

asyncio.run(main())
"""
"""An executor whose supervisor is lost while a command starts: before it is told, or before it answers."""


@pytest.mark.parametrize("moment", ["untold", "unanswered"])
def test_an_executor_lives_on_and_keeps_no_pipes_when_its_supervisor_is_lost_while_a_command_starts(
    moment: str,
) -> None:
    executor = subprocess.run(
        [sys.executable, "-c", LOSING, moment], stdout=subprocess.PIPE, text=True, start_new_session=True, check=False
    )

    assert (executor.returncode, executor.stdout.splitlines()[-1:]) == (0, ["lost 0"])


async def test_a_command_whose_executor_was_killed_is_done_again_elsewhere_and_keeps_both_outputs(
    serve: Any, employ: Any, commands: Any, short_leases: Any, tmp_path: pathlib.Path
) -> None:
    service = await serve(**short_leases)
    workshop = commands(service)
    lost = employ(service, "lost")
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    flow = await workshop.start(sh="echo $PERDURE_IDEMPOTENCY_KEY; cat gate")
    printed = await service.until(flow, lambda recorded: recorded.event.HasField("task_output"))
    lost.kill()
    employ(service, "next")
    await service.until(
        flow, lambda recorded: recorded.event.HasField("task_output") and recorded.sequence > printed.sequence
    )
    await asyncio.to_thread(gate.write_text, "go on\n")

    ended = await workshop.ended(flow)

    first, second = [
        b"".join(piece.content for piece in await workshop.printed(task)) for task in await workshop.tasks()
    ]
    assert ended.status == "SUCCEEDED"
    assert second == first + b"go on\n"


async def test_nothing_is_started_before_the_supervisor_knows_when_it_must_end(tmp_path: pathlib.Path) -> None:
    supervisor = Supervisor()
    supervisor.start()

    try:
        with pytest.raises(CommandNotStarted, match="leaves no time") as refused:
            await supervisor.run(["touch", "begun"], str(tmp_path), dict(os.environ), b"")
    finally:
        await supervisor.stop()

    assert refused.value.passing
    assert not (tmp_path / "begun").exists()


async def test_more_commands_at_once_than_the_supervisor_can_hear_of_all_run(tmp_path: pathlib.Path) -> None:
    supervisor = Supervisor()
    supervisor.start()
    await supervisor.feed_work_end(clock.seconds() + 60)
    large = {"PATH": os.environ["PATH"], "LARGE": "x" * 100_000}
    outputs: list[int] = []

    async def run() -> int:
        running = await supervisor.run(["true"], str(tmp_path), large, b"")
        outputs.extend((running.stdout, running.stderr))
        return (await running.ended).status

    try:
        assert await asyncio.gather(*(run() for _ in range(40))) == [0] * 40
    finally:
        await supervisor.stop()
        for descriptor in outputs:
            os.close(descriptor)

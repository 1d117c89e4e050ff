"""An executor in which nothing of Python goes on any more: the supervisor ends it, past its work end."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

LOOK_SECONDS = 0.02

PROGRAM = """
import asyncio, ctypes, faulthandler, signal
from perdure_executor import clock
from perdure_executor.commands import Supervisor

FOREIGN = ctypes.PyDLL(None)  # its calls keep Python from going on
faulthandler.enable()

async def main():
    supervisor = Supervisor(LOOK_SECONDS)
    supervisor.start()
    await supervisor.feed_work_end(clock.seconds() + WORK_SECONDS)
    print("up", flush=True)
    BODY
    await supervisor.stop()

asyncio.run(main())
"""

STANDING = "supervisor.show_life(); FOREIGN.sleep(600)"
STANDING_DEAF = "signal.signal(signal.SIGABRT, signal.SIG_IGN); " + STANDING
WORKING = f"""
    while True:
        supervisor.show_life()
        await asyncio.sleep({LOOK_SECONDS / 2})
"""


@pytest.fixture
def start() -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Starts a process that does this, with so long to its work end."""
    started: list[subprocess.Popen[str]] = []

    def begin(body: str, work_seconds: float = 0.0) -> "subprocess.Popen[str]":
        program = PROGRAM.replace("LOOK_SECONDS", str(LOOK_SECONDS)).replace("BODY", body.strip())
        program = program.replace("WORK_SECONDS", str(work_seconds))
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen([sys.executable, "-c", program], **streams))
        assert started[-1].stdout.readline() == "up\n"  # type: ignore[union-attr]  # it is a pipe
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("body", "ended_by"), [(STANDING, signal.SIGABRT), (STANDING_DEAF, signal.SIGKILL)], ids=["", "and hears nothing"]
)
def test_one_that_foreign_code_keeps_from_going_on_is_ended_and_says_where_it_stood(
    start: Callable[[str], Any], body: str, ended_by: signal.Signals
) -> None:
    process = start(body)

    _, err = process.communicate(timeout=10)

    assert process.returncode == -ended_by
    assert ("in main" in err) == (ended_by is signal.SIGABRT)


def test_one_that_stands_still_before_its_work_end_is_left_alone(start: Callable[[str], Any]) -> None:
    brief = f"supervisor.show_life(); FOREIGN.usleep({int(20 * LOOK_SECONDS * 1e6)})"

    assert start(brief, work_seconds=600).wait(50) == 0


def test_one_that_is_suspended_past_its_work_end_is_left_alone_and_goes_on(start: Callable[[str], Any]) -> None:
    process = start(WORKING)

    process.send_signal(signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(40 * LOOK_SECONDS)
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)

    assert process.wait(50) == -signal.SIGTERM

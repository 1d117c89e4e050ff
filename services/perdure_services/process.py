"""What every program does to its own process before it begins. Imported before gRPC is: it sets what gRPC reads then."""

import asyncio
import faulthandler
import gc
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, Final

os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
"""gRPC's older event loop answers sooner than the newer one; see docs/decisions."""

SWITCH_SECONDS: Final = 0.0005
"""How long a thread may keep the interpreter from another that waits for it. The default, ten times as long, would add
milliseconds to every reading beside a busy event loop."""

COLLECT_AFTER: Final = 100_000
"""Objects made between two looks for cycles. Messages and events make none, and the usual 700 costs a tenth of the time."""

INTERRUPTED: Final = 130


def run(program: Coroutine[Any, Any, int]) -> int:
    """Runs a program's coroutine to its end and returns its exit code."""
    if sys.stderr is not None:
        faulthandler.enable()  # where a process stood that foreign code has ended, or that is ended in it
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(COLLECT_AFTER, 20, 100)
    return asyncio.run(program)


def stop_requested() -> asyncio.Event:
    """An event that is set when the process is asked to stop; a second request ends it at once."""
    requested = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask() -> None:
        if requested.is_set():
            os._exit(INTERRUPTED)
        requested.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask)
    return requested

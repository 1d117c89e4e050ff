"""Who looks at the event loop from outside of it."""

import threading
from typing import Any

from perdure_executor.host import Host
from perdure_executor.watchdog import Watchdog
from perdure_executor.work_end import THREADS_LEFT_EXIT_CODE, WorkEnd


class Still:
    """Work that is held past its end by a loop that does not turn; what it holds is what runs, and its lease."""

    count = 1
    work_end = 0.0


def test_a_loop_that_stands_still_past_the_work_end_ends_the_process() -> None:
    ended = threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    host = Host(seconds=lambda: 1.0, end_process=end)
    still: Any = Still()
    with Watchdog(WorkEnd(still, still, host), host):
        assert ended.wait(30)

    assert codes[0] == THREADS_LEFT_EXIT_CODE

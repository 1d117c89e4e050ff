"""The states of a run, and the one table that says which may follow which."""

from enum import StrEnum
from typing import Final

from perdure.v1 import run_states_pb2


class RunState(StrEnum):
    """Where a run stands; `docs/run-states.md` draws the transitions."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    INTERRUPTED = "INTERRUPTED"
    EXPIRED = "EXPIRED"
    TIMED_OUT = "TIMED_OUT"
    MOVED = "MOVED"

    def message(self) -> run_states_pb2.RunState.ValueType:
        """The state as it is on the wire."""
        return run_states_pb2.RunState.Value(f"RUN_STATE_{self.value}")


def run_state(message: run_states_pb2.RunState.ValueType) -> RunState:
    """The state that a message names. Raises ValueError for one that this version does not know."""
    return RunState(run_states_pb2.RunState.Name(message).removeprefix("RUN_STATE_"))


CONTINUABLE: Final = frozenset({RunState.FAILED, RunState.INTERRUPTED, RunState.EXPIRED, RunState.TIMED_OUT})
FINAL: Final = frozenset({RunState.COMPLETED, RunState.CANCELLED})
TERMINAL: Final = CONTINUABLE | FINAL
OVER: Final = TERMINAL | {RunState.MOVED}
"""States of a run that does nothing more here: it has ended, or has moved to another service."""

TRANSITIONS: Final[dict[RunState, frozenset[RunState]]] = {
    RunState.QUEUED: frozenset({
        RunState.RUNNING, RunState.PAUSED, RunState.CANCELLED, RunState.INTERRUPTED, RunState.TIMED_OUT,
    }),
    RunState.RUNNING: frozenset({RunState.QUEUED, RunState.PAUSED, *TERMINAL}),
    RunState.PAUSED: frozenset({RunState.QUEUED, RunState.RUNNING, RunState.MOVED, *TERMINAL}),
    RunState.COMPLETED: frozenset(),
    RunState.CANCELLED: frozenset(),
    **{state: frozenset({RunState.QUEUED, RunState.PAUSED, RunState.CANCELLED}) for state in CONTINUABLE},
    RunState.MOVED: frozenset({RunState.PAUSED}),
}  # fmt: skip

"""The sign and the colour of everything that is followed."""

from typing import Final

from perdure.cli.following.node_story import NodeStory, Stage
from perdure.cli.printing.words import enum_word, one_line
from perdure.runlog.states import RunState
from perdure.v1.flows_pb2 import Flow

NOTE_SIGNS: Final = 200

OF_STAGE: Final = {
    Stage.STARTED: ("●", "cyan"),
    Stage.WAITING: ("⏸", "yellow"),
    Stage.IN_DOUBT: ("?", "bold yellow"),
    Stage.LOST: ("◌", "yellow"),
    Stage.SUCCEEDED: ("✔", "green"),
    Stage.FAILED: ("✖", "red"),
    Stage.STOPPED: ("■", "dim"),
}

OF_RUN: Final = {
    RunState.QUEUED: ("◌", "cyan"),
    RunState.RUNNING: ("●", "cyan"),
    RunState.PAUSED: ("⏸", "yellow"),
    RunState.COMPLETED: ("✔", "green"),
    RunState.FAILED: ("✖", "red"),
    RunState.CANCELLED: ("■", "red"),
    RunState.INTERRUPTED: ("■", "yellow"),
    RunState.EXPIRED: ("✖", "red"),
    RunState.TIMED_OUT: ("✖", "red"),
    RunState.MOVED: ("→", "cyan"),
}

OF_FLOW: Final = {
    Flow.STATUS_FAILED: ("✖", "red"),
    Flow.STATUS_CANCELLED: ("■", "red"),
    Flow.STATUS_WAITING: ("⏸", "yellow"),
    Flow.STATUS_INTERRUPTED: ("■", "yellow"),
    Flow.STATUS_SUCCEEDED: ("✔", "green"),
}
"""Any other status is under way."""

UNDER_WAY: Final = ("●", "cyan")


def stage_word(node: NodeStory) -> str:
    """Where a node stands, in words."""
    return node.stage.name.lower().replace("_", " ")


def state_word(state: RunState) -> str:
    """Where a run stands, in words."""
    return state.value.lower().replace("_", " ")


def status_word(flow: Flow) -> str:
    """Where a flow stands, in words."""
    return enum_word(Flow.Status.DESCRIPTOR, flow.status)


def note(node: NodeStory) -> str:
    """What there is to say about a node, on one line."""
    return one_line(node.note, NOTE_SIGNS)

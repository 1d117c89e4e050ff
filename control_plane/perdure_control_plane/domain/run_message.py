"""What one run has to tell another."""

from dataclasses import dataclass
from enum import StrEnum

from perdure_control_plane.domain.ids import RunId


class MessageKind(StrEnum):
    """What is told. Everything else that there is to say of it stands in the source's log, at the message's sequence."""

    ENDED = "ENDED"
    """To the parent: its child has ended."""
    CANCEL = "CANCEL"
    """To a child: stop for good."""
    INTERRUPT = "INTERRUPT"
    """To a child: stop, to be continued with its parent."""
    CONTINUE = "CONTINUE"
    """To a child that was interrupted: go on, its parent does."""


@dataclass(frozen=True, slots=True)
class RunMessage:
    """One message on its way: written in the commit of the event that it tells of, gone in that of what came of it."""

    target: RunId
    source: RunId
    source_sequence: int
    kind: MessageKind
    sent_at: int

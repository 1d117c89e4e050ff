"""What follows by itself while a person is waited for: reminders, rungs of a ladder, and what becomes of it in the end.

Times are in microseconds since 1970.
"""

from dataclasses import dataclass

from perdure.runlog.inbox import due_at
from perdure.v1 import decisions_pb2, fact_events_pb2


@dataclass(slots=True)
class Patience:
    """How far the time of one request is: `rung` of its ladder, and `reminded`, are how many it has come to."""

    opened: fact_events_pb2.WaitOpened
    opened_at: int
    due: int
    """When the time of its rung is over; 0 where it never is."""
    rung: int = 0
    reminded: int = 0
    asked: tuple[str, ...] = ()
    """Who may decide; nobody in particular where it is empty."""

    @property
    def reminder_at(self) -> int:
        """When people are reminded next; 0 where they are not any more."""
        reminders = self.opened.approval.reminders
        if self.rung or self.reminded >= len(reminders):
            return 0
        return self.opened_at + reminders[self.reminded].ToMicroseconds()

    @property
    def next_at(self) -> int:
        """When something follows by itself; 0 where nothing does."""
        return self.reminder_at or self.due

    @property
    def climbs(self) -> bool:
        """Whether it goes up a rung when it is due."""
        asked = self.opened.approval
        return asked.on_timeout == decisions_pb2.ON_TIMEOUT_ESCALATE and self.rung < len(asked.escalate_to)

    @property
    def goes_on(self) -> bool:
        """Whether the run goes on by itself when it is due."""
        return self.opened.approval.on_timeout == decisions_pb2.ON_TIMEOUT_CONTINUE

    def note(self, recorded: fact_events_pb2.FactRecorded, at: int) -> None:
        """Goes on with a fact that was recorded then."""
        match recorded.WhichOneof("fact"):
            case "approval_reminded":
                self.reminded = recorded.approval_reminded.number
            case "approval_escalated":
                escalated = recorded.approval_escalated
                self.rung, self.asked = escalated.rung, tuple(escalated.assignees)
                self.due = at + escalated.timeout.ToMicroseconds() if escalated.HasField("timeout") else 0
            case "approval_delegated":
                self.asked = tuple(recorded.approval_delegated.assignees)


def patience(opened: fact_events_pb2.WaitOpened, at: int) -> Patience:
    """The time of a wait that was opened then."""
    return Patience(opened, at, due_at(opened, at), asked=tuple(opened.approval.assignees))

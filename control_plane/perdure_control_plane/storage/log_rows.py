"""What the journal and the control plane's own appends need of a database: rows of runs and of their logs, many at once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from perdure.runlog.head import RunHead
from perdure_control_plane.domain.flow import Flow
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.run import RunIdentity
from perdure_control_plane.storage.heads import Mark
from perdure_control_plane.storage.statements import Change, Row


@dataclass(slots=True)  # one for each run of a commit: frozen, it takes four times as long to make
class Move:
    """What a commit does to one run. `events` are rows of the log, in the order of their sequences."""

    run_id: RunId
    before: Mark
    """Where the run's row must be; nothing of the move is stored otherwise."""
    after: RunHead
    whole: bool
    """Whether more of the head has moved than APPENDED_COLUMNS."""
    events: list[Row]
    changes: list[Change]
    """What else follows; whoever stores the move executes them, as far as that does not do it itself and takes them away."""


class LogRows(Protocol):
    """Rows of `runs` and `run_events`."""

    def heads(self, run_ids: Sequence[RunId]) -> dict[RunId, RunHead | None]:
        """Heads as they are now, which nobody moves before this transaction ends.

        None for a run that another transaction is writing to at this moment; runs that do not exist are left out.
        """

    def store(self, moves: Sequence[Move], *, alone: bool) -> Collection[RunId]:
        """Stores heads and events of the moves whose rows are where they must be, and returns those runs.

        A row that another transaction is writing to is not waited for. `alone` says that the whole commit is this, with
        the changes that follow: where they are done here, too, it may be committed at once, and the moves have none left.
        """

    def create(self, run: RunIdentity, move: Move) -> None:
        """Stores a new run with its first events and its place in the queue."""

    def begin(self, run: RunIdentity, move: Move, flow: Flow, audited: Row) -> None:
        """Stores a flow, its root run as `create` does, and the audit event of its start.

        Where the move has no changes left it may be committed at once, if no transaction has begun.
        """

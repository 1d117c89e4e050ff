"""What runs have to tell each other: written with what it tells of, and gone with what came of it."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Select, bindparam, delete, insert, select
from sqlalchemy.engine import Connection, Dialect

from perdure.runlog.states import OVER, RunState
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.run_message import MessageKind, RunMessage
from perdure_control_plane.storage.statements import Change, Prepared
from perdure_control_plane.storage.tables import run_messages, run_waits, runs

_COLUMNS: Final = ("target", "source", "source_sequence", "kind", "sent_at")

_BEYOND_INTERRUPT: Final = sorted(OVER)
"""States of a child that nothing is left to interrupt of."""

_BEYOND_CANCEL: Final = [state for state in _BEYOND_INTERRUPT if state is not RunState.INTERRUPTED]
"""States of a child that nothing is left to cancel of: its parent has been told of its end, or does not wait for it."""


class RunMessageStatements:
    """Statements that write messages, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        of_source = runs.c.run_id == bindparam("source")
        to_parent = select(runs.c.parent_run_id, *_said()).where(of_source, runs.c.parent_run_id.is_not(None))
        self.to_parent: Final = _insert(to_parent, dialect)
        self.interrupt_children: Final = _insert(_to_children(_BEYOND_INTERRUPT), dialect)
        self.cancel_children: Final = _insert(_to_children(_BEYOND_CANCEL), dialect)
        of_wait = (run_waits.c.run_id == bindparam("source")) & (run_waits.c.instance == bindparam("where_instance"))
        to_awaited = select(run_waits.c.child_run_id, *_said()).where(of_wait, run_waits.c.child_run_id.is_not(None))
        self.to_awaited: Final = _insert(to_awaited, dialect)


def _to_children(but_in: Sequence[RunState]) -> Select[Any]:
    fit = (runs.c.state != state.value for state in but_in)  # a list of them could not be compiled once
    return select(runs.c.run_id, *_said()).where(runs.c.parent_run_id == bindparam("source"), *fit)


def _said() -> list[Any]:
    return [bindparam(name, type_=run_messages.c[name].type) for name in _COLUMNS[1:]]


def _insert(found: Select[Any], dialect: Dialect) -> Prepared:
    return Prepared(insert(run_messages).from_select(list(_COLUMNS), found), dialect)


class Outgoing:
    """Says how messages are written with the events that they tell of. `sent` says whether there was any."""

    def __init__(self, statements: RunMessageStatements) -> None:
        self._statements = statements
        self.sent = False

    def tell_parent(self, source: str, sequence: int, at: int) -> Change:
        """Tells the run that started this one of its end."""
        return self._send(self._statements.to_parent, source, sequence, MessageKind.ENDED, at)

    def stop_children(self, source: str, sequence: int, at: int, *, cancel: bool) -> Change:
        """Tells the runs that this one has started, and that live, to stop; on a cancel those that were interrupted, too."""
        statement = self._statements.cancel_children if cancel else self._statements.interrupt_children
        kind = MessageKind.CANCEL if cancel else MessageKind.INTERRUPT
        return self._send(statement, source, sequence, kind, at)

    def tell_awaited(self, source: str, sequence: int, at: int, instance: str, kind: MessageKind) -> Change:
        """Tells the child that an instance waits for."""
        return self._send(self._statements.to_awaited, source, sequence, kind, at, where_instance=instance)

    def _send(self, statement: Prepared, source: str, sequence: int, kind: MessageKind, at: int, **more: str) -> Change:
        self.sent = True
        values = {"source": source, "source_sequence": sequence, "kind": kind.value, "sent_at": at, **more}
        return statement.change(values)


class RunMessages:
    """Reads messages, and takes them away."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def targets(self, limit: int) -> list[RunId]:
        """Runs that have to be told something, those first for whom something has waited longest."""
        first = select(run_messages.c.target).order_by(run_messages.c.sent_at, run_messages.c.target).limit(limit)
        return list(dict.fromkeys(RunId(row[0]) for row in self._connection.execute(first)))

    def to_run(self, target: RunId) -> list[RunMessage]:
        """Everything that a run has to be told, in order."""
        order = (run_messages.c.sent_at, run_messages.c.source, run_messages.c.source_sequence)
        query = select(*(run_messages.c[name] for name in _COLUMNS)).where(run_messages.c.target == target)
        return [
            RunMessage(RunId(row[0]), RunId(row[1]), row[2], MessageKind(row[3]), row[4])
            for row in self._connection.execute(query.order_by(*order))
        ]

    def take(self, message: RunMessage) -> bool:
        """Takes a message away, in the transaction of what comes of it. False where another has."""
        same = (
            (run_messages.c.target == message.target)
            & (run_messages.c.source == message.source)
            & (run_messages.c.source_sequence == message.source_sequence)
        )
        return self._connection.execute(delete(run_messages).where(same)).rowcount == 1

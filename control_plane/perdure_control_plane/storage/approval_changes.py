"""Changes of approvals: written with the event that each follows from, and put in order when that is committed."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, delete, exists, insert, literal_column, select, text, update
from sqlalchemy.engine import Connection, Dialect

from perdure_control_plane.domain.approval import ApprovalState
from perdure_control_plane.domain.approval_change import LEAVES, ApprovalChange, ApprovalChangeKind, ChangesHead
from perdure_control_plane.domain.queries import ApprovalFilter
from perdure_control_plane.storage.approvals import approval_of, matching
from perdure_control_plane.storage.statements import Change, Prepared
from perdure_control_plane.storage.tables import approval_changes, approval_changes_end, approvals

_ZERO: Final[ColumnElement[int]] = literal_column("0")
"""As it stands in the conditions of the partial indexes; a bound value would not be recognised there."""

_UNPLACED: Final = approval_changes.c.position == _ZERO
_PLACED: Final = approval_changes.c.position > _ZERO
_BEGUN: Final = text(
    "INSERT INTO approval_changes_end (id, position, pruned_position) VALUES (1, 0, 0) ON CONFLICT DO NOTHING"
)
_COLUMNS: Final = ("approval_id", "sequence", "run_id", "kind", "changed_at")


class ApprovalChangeStatements:
    """Statements that write changes, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        of_instance = approvals.c.instance == bindparam("where_instance")
        self.of_instance: Final = _insert(of_instance, dialect)
        self.of_run: Final = _insert(literal_column("1") == literal_column("1"), dialect)


def _insert(which: ColumnElement[bool], dialect: Dialect) -> Prepared:
    given = ("sequence", "kind", "changed_at")
    columns: list[Any] = [
        bindparam(name, type_=approval_changes.c[name].type) if name in given else approvals.c[name]
        for name in _COLUMNS
    ]
    open_ones = (approvals.c.run_id == bindparam("where_run_id")) & (approvals.c.state == bindparam("where_state"))
    found = select(*columns, _ZERO).where(open_ones, which)
    return Prepared(insert(approval_changes).from_select([*_COLUMNS, "position"], found), dialect)


class NotedChanges:
    """Says how changes are written, each beside its event and while the approval is open. `noted` says whether any was."""

    def __init__(self, statements: ApprovalChangeStatements) -> None:
        self._statements = statements
        self.noted = False

    def of_instance(self, run_id: str, instance: str, sequence: int, at: int, kind: ApprovalChangeKind) -> Change:
        """What happens to the open approval that an attempt waits for; nothing where it waits for none."""
        return self._note(self._statements.of_instance, run_id, sequence, at, kind, where_instance=instance)

    def of_decided(self, run_id: str, instance: str, sequence: int, at: int, kind: ApprovalChangeKind) -> Change:
        """What happens to the approval that let an attempt go on."""
        decided = {"where_instance": instance, "where_state": ApprovalState.DECIDED.value}
        return self._note(self._statements.of_instance, run_id, sequence, at, kind, **decided)

    def of_run(self, run_id: str, sequence: int, at: int, kind: ApprovalChangeKind) -> Change:
        """What happens to every open approval of a run."""
        return self._note(self._statements.of_run, run_id, sequence, at, kind)

    def _note(
        self, statement: Prepared, run_id: str, sequence: int, at: int, kind: ApprovalChangeKind, **more: str
    ) -> Change:
        self.noted = True
        which = {"where_run_id": run_id, "where_state": ApprovalState.OPEN.value, **more}
        return statement.change({"sequence": sequence, "kind": kind.value, "changed_at": at, **which})


class ApprovalChanges:
    """Puts changes in order, and reads them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def is_unplaced(self) -> bool:
        """Whether a change has no place yet."""
        return bool(self._connection.execute(select(exists().where(_UNPLACED))).scalar_one())

    def place(self, limit: int) -> int:
        """Gives changes that are committed their places, behind all that have one; how many. Nobody else does meanwhile."""
        self._connection.execute(_BEGUN)
        end = select(approval_changes_end.c.position).with_for_update()
        position = int(self._connection.execute(end).scalar_one())
        keys = select(approval_changes.c.approval_id, approval_changes.c.sequence).where(_UNPLACED)
        order = (approval_changes.c.changed_at, approval_changes.c.approval_id, approval_changes.c.sequence)
        rows = [
            {"of": approval_id, "at": sequence, "place": position + number}
            for number, (approval_id, sequence) in enumerate(
                self._connection.execute(keys.order_by(*order).limit(limit)), 1
            )
        ]
        if rows:
            self._connection.execute(_PLACE, rows)
            self._connection.execute(update(approval_changes_end).values(position=position + len(rows)))
        return len(rows)

    def head(self) -> ChangesHead:
        """How far the order is."""
        row = self._connection.execute(
            select(approval_changes_end.c.position, approval_changes_end.c.pruned_position)
        ).first()
        return ChangesHead(int(row[0]), int(row[1])) if row else ChangesHead(0, 0)

    def after(self, position: int, wanted: ApprovalFilter, limit: int) -> tuple[list[ApprovalChange], int]:
        """Changes after a position, in order, and the position up to which they were looked for.

        So many are looked at; those that match are returned. States are those that a change leaves its approval in;
        whoever was ever asked is among those that it asks, and so hears of what becomes of it.
        """
        after = select(approval_changes.c.position).where(_PLACED, approval_changes.c.position > position)
        looked_at = list(self._connection.execute(after.order_by(approval_changes.c.position).limit(limit)).scalars())
        if not looked_at:
            return [], position
        last = int(looked_at[-1])
        found = select(approval_changes, *approvals.c).join(
            approvals, approvals.c.approval_id == approval_changes.c.approval_id
        )
        between = (approval_changes.c.position > position) & (approval_changes.c.position <= last)
        found = found.where(_PLACED, between, *matching(wanted.of_any_state(), asked=approvals.c.ever_asked))
        rows = self._connection.execute(found.order_by(approval_changes.c.position))
        changes = (_change(row) for row in rows)
        return [change for change in changes if not wanted.states or LEAVES[change.kind] in wanted.states], last

    def prune(self, before: int, limit: int) -> int:
        """Deletes changes from before a time, the first ones first; how many. None that is behind a later one goes."""
        columns = (approval_changes.c.position, approval_changes.c.changed_at)
        first = select(*columns).where(_PLACED).order_by(approval_changes.c.position).limit(limit)
        last, count = 0, 0
        for position, changed_at in self._connection.execute(first):
            if changed_at >= before:
                break
            last, count = int(position), count + 1
        if count:
            gone = delete(approval_changes).where(_PLACED, approval_changes.c.position <= last)
            self._connection.execute(gone)
            self._connection.execute(update(approval_changes_end).values(pruned_position=last))
        return count


_PLACE: Final = (
    update(approval_changes)
    .where(approval_changes.c.approval_id == bindparam("of"), approval_changes.c.sequence == bindparam("at"), _UNPLACED)
    .values(position=bindparam("place"))
)


def _change(row: Sequence[Any]) -> ApprovalChange:
    values = dict(zip((column.name for column in approval_changes.c), row, strict=False))
    approval = approval_of(row[len(values) :])
    kind = ApprovalChangeKind(values["kind"])
    return ApprovalChange(int(values["position"]), kind, values["sequence"], values["changed_at"], approval)

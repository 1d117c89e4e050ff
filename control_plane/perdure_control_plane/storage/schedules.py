"""Schedules, and what became of their times."""

from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, insert, literal_column, or_, select, update
from sqlalchemy.engine import Connection

from perdure_control_plane.domain.errors import NotFound
from perdure_control_plane.domain.schedule import Firing, FiringState, Misfire, Overlap, Schedule
from perdure_control_plane.storage.tables import schedule_firings, schedules


class Schedules:
    """Keeps schedules."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, schedule_id: str, *, lock: bool = False) -> Schedule | None:
        """The schedule, or None. With `lock` nobody else changes it before this transaction ends."""
        query = select(*schedules.c).where(schedules.c.schedule_id == schedule_id)
        row = self._connection.execute(query.with_for_update() if lock else query).mappings().first()
        return None if row is None else _schedule(row)

    def get(self, schedule_id: str, *, lock: bool = False) -> Schedule:
        """The schedule, as `find` reads it. Raises NotFound."""
        found = self.find(schedule_id, lock=lock)
        if found is None:
            raise NotFound(f"schedules/{schedule_id}")
        return found

    def page(self, after: str, limit: int) -> list[Schedule]:
        """Schedules by id, after an id."""
        query = select(*schedules.c).where(schedules.c.schedule_id > after).order_by(schedules.c.schedule_id)
        return [_schedule(row) for row in self._connection.execute(query.limit(limit)).mappings()]

    def add(self, schedule: Schedule) -> None:
        """Stores a new schedule."""
        self._connection.execute(insert(schedules).values(_row(schedule)))

    def save(self, before: Schedule, after: Schedule) -> bool:
        """Stores what has changed of a schedule. False where it is no longer as it was read."""
        unchanged = (schedules.c.uid == before.uid) & (schedules.c.next_at == before.next_at)
        same = unchanged & (schedules.c.waiting_at == before.waiting_at) & (schedules.c.paused == int(before.paused))
        moved = update(schedules).where(schedules.c.schedule_id == before.schedule_id, same).values(_row(after))
        return self._connection.execute(moved).rowcount == 1

    def delete(self, schedule_id: str) -> None:
        """Drops a schedule and its history."""
        self._connection.execute(delete(schedule_firings).where(schedule_firings.c.schedule_id == schedule_id))
        self._connection.execute(delete(schedules).where(schedules.c.schedule_id == schedule_id))

    def due(self, at: int, limit: int) -> list[str]:
        """Ids of schedules that have something to do by a time: one of theirs has come, or waits for a flow to end."""
        has_come = (schedules.c.paused == _ZERO) & (schedules.c.due_at > _ZERO) & (schedules.c.due_at <= at)
        query = select(schedules.c.schedule_id).where(or_(has_come, schedules.c.waiting_at > _ZERO))
        return list(self._connection.execute(query.order_by(schedules.c.due_at).limit(limit)).scalars())

    def next_due(self, after: int) -> int:
        """When the next time of any schedule comes, after a moment; 0 for none."""
        query = select(schedules.c.due_at).where(schedules.c.paused == _ZERO, schedules.c.due_at > after)
        return int(self._connection.execute(query.order_by(schedules.c.due_at).limit(1)).scalar() or 0)


class Firings:
    """Keeps what became of the times of schedules."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, firing: Firing) -> None:
        """Stores what became of a time; that it is stored once is up to the table."""
        self._connection.execute(insert(schedule_firings).values({**asdict(firing), "state": firing.state.value}))

    def replace(self, firing: Firing) -> None:
        """Stores what became of a time that had been waiting."""
        row = schedule_firings.c
        which = (row.schedule_id == firing.schedule_id) & (row.scheduled_at == firing.scheduled_at)
        changed = {**asdict(firing), "state": firing.state.value}
        self._connection.execute(update(schedule_firings).where(which).values(changed))

    def get(self, schedule_id: str, scheduled_at: int) -> Firing:
        """What became of a time. Raises NotFound."""
        row = schedule_firings.c
        query = select(*row).where(row.schedule_id == schedule_id, row.scheduled_at == scheduled_at)
        found = self._connection.execute(query).mappings().first()
        if found is None:
            raise NotFound(f"schedules/{schedule_id}")
        return _firing(found)

    def page(self, schedule_id: str, before: int, limit: int) -> list[Firing]:
        """What became of a schedule's times before a time, the latest first; 0 begins with the last."""
        row = schedule_firings.c
        query = select(*row).where(row.schedule_id == schedule_id).order_by(row.scheduled_at.desc()).limit(limit)
        if before:
            query = query.where(row.scheduled_at < before)
        return [_firing(found) for found in self._connection.execute(query).mappings()]

    def forget(self, before: int) -> None:
        """Drops what was dealt with before a time."""
        self._connection.execute(delete(schedule_firings).where(schedule_firings.c.fired_at < before))


_ZERO: Final[ColumnElement[int]] = literal_column("0")


def _row(schedule: Schedule) -> dict[str, Any]:
    values = asdict(schedule)
    values["overlap"], values["misfire"] = schedule.overlap.value, schedule.misfire.value
    values["paused"] = int(schedule.paused)
    return values


def _schedule(row: Any) -> Schedule:
    values = dict(row)
    values["overlap"], values["misfire"] = Overlap(values["overlap"]), Misfire(values["misfire"])
    values["paused"] = bool(values["paused"])
    return Schedule(**values)


def _firing(row: Any) -> Firing:
    values = dict(row)
    values["state"], values["triggered"] = FiringState(values["state"]), bool(values["triggered"])
    return Firing(**values)

"""What must hold of a schedule: each of its times is dealt with once, as its policy says."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from perdure_control_plane.domain.run import Run
from perdure_control_plane.domain.schedule import Firing, FiringState, Overlap, Schedule
from tests.simulation.record import Record
from tests.simulation.starters import SCHEDULE

ONE_AFTER_ANOTHER = (Overlap.SKIP, Overlap.QUEUE_ONE)


@dataclass(frozen=True, slots=True)
class Kept:
    """The schedule of a trial, and what became of its times, the first of them first."""

    schedule: Schedule
    firings: list[Firing]


def schedule_of(tx: Any) -> Kept | None:
    """None where there is none: a store that went back may have lost it."""
    found = tx.schedules.find(SCHEDULE)
    return None if found is None else Kept(found, tx.firings.page(SCHEDULE, 1 << 62, 1000)[::-1])


def broken_times(kept: Kept | None, runs: Sequence[Run], continued: Collection[str], record: Record) -> Iterator[str]:
    """What is wrong with it, in words; notes what was met on the way. `continued` are runs that ended more than once."""
    if kept is None:
        return
    states = Counter(firing.state for firing in kept.firings)
    record.hits["schedule passed a time over"] += states[FiringState.SKIPPED]
    record.hits["schedule waited"] += sum(firing.fired_at > firing.scheduled_at + 2e6 for firing in kept.firings)
    yield from _of_times(kept)
    yield from _of_flows(kept, runs)
    passing = {FiringState.SKIPPED, FiringState.WAITING} & states.keys()
    if passing and kept.schedule.overlap not in ONE_AFTER_ANOTHER:
        yield f"schedule: times are {sorted(passing)}, and its policy is {kept.schedule.overlap}"
    if kept.schedule.overlap in ONE_AFTER_ANOTHER and not record.hits["clock set back"]:
        again = {run.identity.flow_id for run in runs if run.run_id in continued}
        yield from _of_overlaps(kept, [run for run in runs if run.identity.flow_id not in again])


def _of_times(kept: Kept) -> Iterator[str]:
    first, interval = kept.schedule.created_at, kept.schedule.interval
    times = [(firing.scheduled_at - first) / interval for firing in kept.firings]
    if times != [float(number) for number in range(1, len(times) + 1)]:
        yield f"schedule: its times were dealt with as {times}, and not one after the other"


def _of_flows(kept: Kept, runs: Sequence[Run]) -> Iterator[str]:
    roots = Counter(run.identity.flow_id for run in runs if not run.identity.parent_run_id)
    for firing in kept.firings:
        due = firing.state is FiringState.STARTED
        if (roots[firing.flow_id] if firing.flow_id else 0) != due:
            yield f"schedule: time {firing.scheduled_at} is {firing.state}, and has {roots[firing.flow_id]} runs"
    if len({firing.flow_id for firing in kept.firings if firing.flow_id}) < sum(
        bool(one.flow_id) for one in kept.firings
    ):
        yield "schedule: two times have one flow"


def _of_overlaps(kept: Kept, runs: Sequence[Run]) -> Iterator[str]:
    """A flow that waits for the one before begins when that has ended, unless somebody continued it later."""
    begun = [firing for firing in kept.firings if firing.flow_id]
    for before, after in zip(begun, begun[1:], strict=False):
        for run in runs:
            late = run.identity.flow_id == before.flow_id and run.head.ended_at > after.fired_at
            if late and run.head.ended_at:
                yield f"schedule: a flow began at {after.fired_at}, and run {run.run_id} of the one before was not over"

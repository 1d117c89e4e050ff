"""What is wrong with what a trial left behind, in words: by the checker, the witnesses, and the rebuilding of tables."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from perdure.runlog.checker import LogChecker, Violation
from perdure.runlog.effects import GUARDED
from perdure.runlog.head import Hold
from perdure.runlog.plans import read_plan
from perdure.runlog.rules import Rule
from perdure.runlog.states import TERMINAL, RunState
from perdure.runlog.witnesses import Acknowledgement, compare_acknowledgements, compare_launches
from perdure.v1 import fact_events_pb2, runs_pb2
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.api.messages.runs import run as run_message
from perdure_control_plane.domain.inbox import Wait
from perdure_control_plane.domain.run import Run
from perdure_control_plane.storage.rebuilding import Rebuilder, run_ids
from perdure_control_plane.storage.unaudited import compare_with_audit
from perdure_services.refolding import Refolding
from tests.simulation.database import Database, Loss
from tests.simulation.laws import broken_laws, related
from tests.simulation.record import LaunchSeen, Record
from tests.simulation.timetable import broken_times, schedule_of

EVERYTHING = 1 << 30
GO_ON = (runs_pb2.PAUSE_REASON_UNSPECIFIED, runs_pb2.PAUSE_REASON_TIMER, runs_pb2.PAUSE_REASON_BACKOFF)
"""Reasons that a pause has for a while."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Where a run is."""

    run_id: str
    state: RunState
    reason: int

    @classmethod
    def of_all(cls, tx: Any, run_ids: Iterable[str]) -> "list[Rest]":
        """Where runs are."""
        runs = [tx.runs.get(run_id) for run_id in run_ids]
        waits: dict[str, list[Wait]] = {}
        for wait in tx.inbox.open_waits([run.run_id for run in runs]):
            waits.setdefault(wait.run_id, []).append(wait)
        return [
            cls(run.run_id, run.head.state, run_message(run, waits.get(run.run_id, [])).pause_reason) for run in runs
        ]

    def __str__(self) -> str:
        return f"run {self.run_id}, {self.state},"


def rests(rest: Rest) -> bool:
    """Whether it is where it may stay: at an end, or paused for a reason that has a name."""
    goes_on = rest.reason in GO_ON
    return rest.state in TERMINAL or (rest.state is RunState.PAUSED and not goes_on)


@dataclass(slots=True)
class _Log:
    run: Run
    events: list[RecordedEvent]
    checker: LogChecker
    snapshot_faults: list[Violation]


def judge(connection: Connection, rebuilder: Rebuilder, database: Database, record: Record) -> list[str]:
    """Everything that is wrong."""
    logs = database.read(_logs)
    found = [violation for log in logs.values() for violation in log.checker.violations]
    found += [fault for log in logs.values() for fault in log.snapshot_faults]
    found += related({log.run.run_id: log.checker for log in logs.values()})
    checkers = {run_id: log.checker for run_id, log in logs.items()}
    found += compare_acknowledgements(checkers, _standing(database.losses, record.acknowledgements))
    forgiven = frozenset().union(*(loss.guarded for loss in database.losses))
    launches = [seen.launch for seen in record.launches if not _is_forgotten(seen, database.losses, forgiven)]
    launched = compare_launches(checkers, launches)
    found += [one for one in launched if one.rule is not Rule.LAUNCHED or one.run_id not in forgiven]
    words = [f"{one.rule} {one.run_id}@{one.sequence}: {one.message}" for one in found]
    words += [line for loss in database.losses for line in _unheld(loss, logs)]
    words += [line for log in logs.values() for line in broken_laws(log.run, log.checker, log.events, record)]
    if database.scheduled:
        words += broken_times(database.read(schedule_of), [log.run for log in logs.values()], _continued(logs), record)
    words += [one.message for one in compare_with_audit(connection).found]
    return words + _differences(connection, rebuilder, logs)


def _continued(logs: "dict[str, _Log]") -> set[str]:
    return {run_id for run_id, log in logs.items() if len(log.checker.ends) > 1}


def _differences(connection: Connection, rebuilder: Rebuilder, logs: "dict[str, _Log]") -> list[str]:
    """Where the tables beside the logs are not what the logs give."""
    for run_id, log in logs.items():
        rebuilding = rebuilder.rebuild(run_id)
        for recorded in log.events:
            lease_id = recorded.holder.lease_id if recorded.HasField("holder") else None
            rebuilding.take(recorded.event, recorded.stored_time.ToMicroseconds(), lease_id)
        rebuilding.finish()
    return [str(found) for found in rebuilder.differences(list(run_ids(connection)))]


def _logs(tx: Any) -> dict[str, _Log]:
    return {run.run_id: _checked(tx, run) for run in _all_runs(tx)}


def _all_runs(tx: Any) -> list[Run]:
    # By their ids, not by a list of the product: what is judged must not choose what is looked at.
    return [tx.runs.get(run_id) for run_id in run_ids(tx.connection)]


def _shown(tx: Any, run: Run) -> runs_pb2.Run:
    return run_message(run, tx.inbox.open_waits([run.run_id]))


def _checked(tx: Any, run: Run) -> _Log:
    digest = run.identity.plan_digest
    checker = LogChecker(run.run_id, read_plan(tx.playbooks.plan(digest), digest), digest)
    events, faults = list[RecordedEvent](), list[Violation]()
    refolding = Refolding(tx.snapshots.find(run.run_id))
    for recorded, stored in tx.events.stored_after(run.run_id, 0, limit=EVERYTHING, max_bytes=EVERYTHING):
        events.append(recorded)
        checker.take(recorded)
        faults += refolding.faults_at(checker, recorded, stored)
    checker.finish(_shown(tx, run))
    return _Log(run, events, checker, faults)


def _standing(losses: list[Loss], told: Iterable[tuple[int, Acknowledgement]]) -> Iterator[Acknowledgement]:
    """What was acknowledged and not taken away since with the database that said so."""
    for epoch, one in told:
        if one.lease_id:
            lost = any((one.lease_id, one.ordinal) in loss.ordinals for loss in losses)
        else:
            lost = any(loss.epoch >= epoch and one.sequence > loss.length.get(one.run_id, 0) for loss in losses)
        if not lost:
            yield one


def _is_forgotten(seen: LaunchSeen, losses: list[Loss], forgiven: frozenset[str]) -> bool:
    if seen.run_id in forgiven:
        return True
    # A child that is begun again has its id again.
    return any(loss.epoch >= seen.epoch and not loss.length.get(seen.run_id, 1) for loss in losses)


def _unheld(loss: Loss, logs: dict[str, _Log]) -> Iterator[str]:
    """Runs that lost the start of a guarded effect and went on to another one before they were held for it.

    Of a child that was lost whole it is its parent that goes on to it again.
    """
    for run_id in sorted(loss.guarded & logs.keys()):
        parent = logs[run_id].run.identity.parent_run_id
        lost_child = run_id if parent and not loss.length[run_id] else ""
        going_on = parent if parent and lost_child else run_id
        if going_on not in logs or (lost_child and not loss.length.get(going_on)):
            continue
        checker = LogChecker(going_on, logs[going_on].checker.walk.plan, b"")
        for recorded in logs[going_on].events:
            if recorded.sequence <= loss.length[going_on]:
                checker.take(recorded)
                continue
            if checker.head.state in TERMINAL or checker.head.holds & Hold.STORE_RESTORED:
                break
            event = recorded.event
            if event.fact_recorded.hold_placed.cause == fact_events_pb2.HOLD_CAUSE_STORE_RESTORED:
                break
            if event.node_started.effect in GUARDED or (lost_child and event.child_started.run_id == lost_child):
                yield f"run {going_on}@{recorded.sequence}: a guarded effect began after the store lost one, unheld"
                break

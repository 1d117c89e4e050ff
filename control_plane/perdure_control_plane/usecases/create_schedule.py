"""Makes a schedule."""

from dataclasses import dataclass, replace

from perdure.audit.events import AuditType
from perdure_control_plane.domain.audit import Act
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import AlreadyExists
from perdure_control_plane.domain.ids import new_id
from perdure_control_plane.domain.playbook import check_startable
from perdure_control_plane.domain.request import request_digest
from perdure_control_plane.domain.schedule import Misfire, Overlap, Schedule
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition
from perdure_control_plane.usecases.schedule_starts import kept
from perdure_control_plane.usecases.start_flow import FlowStarter, Start
from perdure_control_plane.usecases.timetables import check_cron, next_time


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """What a schedule is to be. `cron` is empty where it fires at an interval; durations are in microseconds."""

    schedule_id: str
    start: Start
    cron: str
    interval: int
    time_zone: str
    overlap: Overlap
    misfire: Misfire
    catch_up_window: int
    jitter: int
    request_id: str


async def create_schedule(store: Store, starter: FlowStarter, caller: Caller, asked: NewSchedule) -> Schedule:
    """Makes the schedule, or returns it where it is there just so.

    Raises FieldInvalid, TooLarge, NotFound, DigestMismatch, PublicationForbids, AlreadyExists,
    RequestIdReused.
    """
    if asked.cron:
        check_cron(asked.cron, asked.time_zone)
    await starter.check(asked.start)
    policy = (asked.overlap, asked.misfire, asked.catch_up_window, asked.jitter)
    digest = request_digest(asked.cron, asked.interval, asked.time_zone, *policy, kept(asked.start))

    def body(tx: Transaction) -> Schedule:
        is_repetition(tx, caller, asked.request_id, "CreateSchedule", f"schedules/{asked.schedule_id}", digest)
        found = tx.schedules.find(asked.schedule_id)
        if found is not None:
            if found.request_digest != digest:
                raise AlreadyExists(found.name)
            return found
        check_startable(tx.playbooks.release(asked.start.playbook_id, asked.start.version))
        tx.sessions.get(asked.start.session_id)
        made = _new(tx, caller, asked, digest)
        tx.schedules.add(made)
        tx.audit.record(Act(AuditType.SCHEDULE_CREATED, caller, made.name, asked.request_id))
        return made

    return await store.write(body)


def _new(tx: Transaction, caller: Caller, asked: NewSchedule, digest: bytes) -> Schedule:
    made = Schedule(
        schedule_id=asked.schedule_id,
        uid=new_id(),
        principal=caller.principal,
        request_digest=digest,
        start=kept(asked.start),
        cron=asked.cron,
        interval=asked.interval,
        time_zone=asked.time_zone,
        overlap=asked.overlap,
        misfire=asked.misfire,
        catch_up_window=asked.catch_up_window,
        jitter=asked.jitter,
        paused=False,
        next_at=0,
        due_at=0,
        waiting_at=0,
        last_flow_id=None,
        created_at=tx.now,
    )
    first = next_time(made, tx.now)
    return replace(made, next_at=first, due_at=made.fires_at(first))

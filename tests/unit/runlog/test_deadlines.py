"""What follows by itself while a person is waited for, as a log must tell it."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from perdure.runlog.deadlines import Patience, patience
from perdure.runlog.wait_rules import asking_faults, due_faults
from perdure.v1 import approval_facts_pb2, fact_events_pb2
from perdure.v1.decisions_pb2 import ON_TIMEOUT_CONTINUE, ON_TIMEOUT_ESCALATE, ON_TIMEOUT_FAIL, Escalation

SECOND = 1_000_000
OPENED_AT = 1000 * SECOND
ADA, BOB = "keys/ada", "keys/bob"


def asked(on_timeout: int, *rungs: int, reminders: tuple[int, ...] = (), of: tuple[str, ...] = ()) -> Patience:
    """A request for a minute whose rungs have these times in seconds, 0 for none, `of` these people."""
    ladder = [Escalation(to=["keys/bob"], timeout=Duration(seconds=time) if time else None) for time in rungs]
    wait: Any = {
        "on_timeout": on_timeout,
        "escalate_to": ladder,
        "assignees": of,
        "reminders": [Duration(seconds=at) for at in reminders],
    }
    opened = fact_events_pb2.WaitOpened(
        timeout=Duration(seconds=60), approval=approval_facts_pb2.ApprovalWait(approval_id="a", **wait)
    )
    return patience(opened, OPENED_AT)


def at(seconds: int) -> int:
    return OPENED_AT + seconds * SECOND


def fact(name: str, seconds: int, **fields: Any) -> fact_events_pb2.FactRecorded:
    """A fact that says that its moment is that many seconds after the request."""
    recorded = fact_events_pb2.FactRecorded(**{name: fields})
    if name != "decision" and name != "approval_reminded":
        getattr(recorded, name).deadline_time.FromMicroseconds(at(seconds))
    return recorded


def faults(time: Patience, recorded: fact_events_pb2.FactRecorded, seconds: int) -> list[str]:
    return [*due_faults(recorded, time, at(seconds)), *asking_faults(recorded, time)]


def escalated(
    rung: int, deadline: int, timeout: int = 30, to: str = "keys/bob", assignees: tuple[str, ...] = ()
) -> fact_events_pb2.FactRecorded:
    time = Duration(seconds=timeout) if timeout else None
    return fact("approval_escalated", deadline, rung=rung, timeout=time, to=[to], assignees=assignees)


def reminded(number: int, following: int) -> fact_events_pb2.FactRecorded:
    recorded = fact("approval_reminded", 0, number=number)
    recorded.approval_reminded.next_time.FromMicroseconds(at(following))
    return recorded


def delegated(to: str, *assignees: str) -> fact_events_pb2.FactRecorded:
    given = {"delegator": ADA, "to": to, "assignees": assignees}
    return fact_events_pb2.FactRecorded(approval_delegated=given)


def test_reminders_come_first_then_the_deadline() -> None:
    time = asked(ON_TIMEOUT_FAIL, reminders=(10, 20))
    moments = [time.next_at]
    for number in (1, 2):
        time.note(fact("approval_reminded", 0, number=number), at(number * 10))
        moments.append(time.next_at)

    assert moments == [at(10), at(20), at(60)]


def test_a_rung_begins_when_it_is_climbed_and_has_no_reminders() -> None:
    time = asked(ON_TIMEOUT_ESCALATE, 30, 0, reminders=(10,))
    time.note(escalated(1, 60), at(65))
    first = time.next_at
    time.note(escalated(2, 95, timeout=0), at(95))

    assert (first, time.next_at, time.climbs) == (at(95), 0, False)


def test_what_stays_open_neither_expires_nor_climbs_by_itself() -> None:
    time = asked(ON_TIMEOUT_ESCALATE, 0)
    time.note(escalated(1, 60, timeout=0), at(60))
    expired = fact_events_pb2.FactRecorded(wait_expired=fact_events_pb2.WaitExpired())
    expired.wait_expired.deadline_time.FromMicroseconds(0)

    assert faults(time, expired, 500) != []


@pytest.mark.parametrize(
    ("time", "recorded", "seconds"),
    [
        (asked(ON_TIMEOUT_FAIL), fact("wait_expired", 60), 60),
        (asked(ON_TIMEOUT_CONTINUE), fact("decision", 0, automatic=True), 60),
        (asked(ON_TIMEOUT_CONTINUE), fact("decision", 0), 1),
        (asked(ON_TIMEOUT_CONTINUE), fact("wait_expired", 60, not_continued=True), 60),
        (asked(ON_TIMEOUT_ESCALATE, 30), escalated(1, 60), 61),
        (asked(ON_TIMEOUT_ESCALATE, 30, of=(ADA,)), escalated(1, 60, assignees=(ADA, BOB)), 60),
        (asked(ON_TIMEOUT_FAIL, reminders=(10,)), reminded(1, following=60), 10),
        (asked(ON_TIMEOUT_FAIL, reminders=(10, 20)), reminded(1, following=20), 10),
        (asked(ON_TIMEOUT_FAIL, of=(ADA,)), delegated(BOB, BOB), 10),
        (asked(ON_TIMEOUT_FAIL, of=("role:admin",)), delegated(BOB, "role:admin", BOB), 10),
    ],
    ids=[
        "expired",
        "went on",
        "decided in time",
        "not there",
        "escalated",
        "to more",
        "reminded",
        "once more",
        "delegated",
        "asked too",
    ],
)
def test_what_comes_in_its_time_is_sound(time: Patience, recorded: Any, seconds: int) -> None:
    assert faults(time, recorded, seconds) == []


@pytest.mark.parametrize(
    ("time", "recorded", "seconds"),
    [
        (asked(ON_TIMEOUT_FAIL), fact("wait_expired", 60), 59),
        (asked(ON_TIMEOUT_FAIL), fact("wait_expired", 50), 60),
        (asked(ON_TIMEOUT_ESCALATE, 30), fact("wait_expired", 60), 60),
        (asked(ON_TIMEOUT_CONTINUE), fact("wait_expired", 60), 60),
        (asked(ON_TIMEOUT_FAIL), fact("wait_expired", 60, not_continued=True), 60),
        (asked(ON_TIMEOUT_CONTINUE), fact("decision", 0, automatic=True), 59),
        (asked(ON_TIMEOUT_ESCALATE, 30), escalated(1, 60), 59),
        (asked(ON_TIMEOUT_ESCALATE, 30), escalated(2, 60), 60),
        (asked(ON_TIMEOUT_ESCALATE, 30), escalated(1, 60, timeout=31), 60),
        (asked(ON_TIMEOUT_FAIL), escalated(1, 60), 60),
        (asked(ON_TIMEOUT_ESCALATE, 30), escalated(1, 60, to=ADA), 60),
        (asked(ON_TIMEOUT_ESCALATE, 30), escalated(1, 60, assignees=(BOB,)), 60),
        (asked(ON_TIMEOUT_ESCALATE, 30, of=(ADA,)), escalated(1, 60, assignees=(BOB,)), 60),
        (asked(ON_TIMEOUT_FAIL, reminders=(10,)), reminded(1, following=60), 9),
        (asked(ON_TIMEOUT_FAIL, reminders=(10,)), reminded(1, following=59), 10),
        (asked(ON_TIMEOUT_FAIL, reminders=(10, 20)), reminded(2, following=60), 20),
        (asked(ON_TIMEOUT_FAIL), reminded(1, following=60), 59),
        (asked(ON_TIMEOUT_FAIL, of=(ADA,)), delegated(BOB, ADA, BOB), 10),
        (asked(ON_TIMEOUT_FAIL, of=(ADA, "keys/cy")), delegated(BOB, BOB), 10),
    ],
    ids=lambda value: value if isinstance(value, int) else "",
)
def test_what_comes_too_soon_or_is_another_than_was_asked_for_is_a_fault(
    time: Patience, recorded: Any, seconds: int
) -> None:
    assert faults(time, recorded, seconds) != []

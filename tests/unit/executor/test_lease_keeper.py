"""A lease counts from when a heartbeat was sent, never from when its answer came; and it never goes back."""

import pytest

from perdure_executor.host import Host
from perdure_executor.lease_keeper import LeaseKeeper, LeaseTerms

TERMS = LeaseTerms(lease=10.0, heartbeat_interval=3.0, stall_allowance=4.0)
SAID_HELLO = 100.0


class Time:
    """The clock, which only a test moves."""

    now = SAID_HELLO


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def lease(time: Time) -> LeaseKeeper:
    """A lease by a hello."""
    kept = LeaseKeeper(Host(lambda: time.now))
    kept.welcome(TERMS, SAID_HELLO)
    return kept


def test_before_a_welcome_nothing_may_be_begun_or_sent(time: Time) -> None:
    kept = LeaseKeeper(Host(lambda: time.now))

    assert not kept.may_begin()
    assert not kept.may_send()


def test_a_welcome_counts_from_the_hello(time: Time, lease: LeaseKeeper) -> None:
    assert (lease.lease_end, lease.work_end) == (SAID_HELLO + 10.0, SAID_HELLO + 14.0)


def test_a_renewal_counts_from_when_its_heartbeat_was_sent(time: Time, lease: LeaseKeeper) -> None:
    time.now = SAID_HELLO + 3.0
    number = lease.beat()
    time.now = SAID_HELLO + 9.0

    lease.acknowledged(number)

    assert lease.lease_end == SAID_HELLO + 13.0


def test_a_heartbeat_that_nobody_acknowledges_renews_nothing(time: Time, lease: LeaseKeeper) -> None:
    time.now = SAID_HELLO + 9.9
    lease.beat()

    assert lease.lease_end == SAID_HELLO + 10.0


def test_an_answer_that_comes_late_takes_nothing_back(time: Time, lease: LeaseKeeper) -> None:
    older = lease.beat()
    time.now = SAID_HELLO + 3.0
    newer = lease.beat()

    lease.acknowledged(newer)
    lease.acknowledged(older)

    assert lease.lease_end == SAID_HELLO + 13.0


def test_the_answer_to_a_heartbeat_of_the_stream_before_renews_nothing(time: Time, lease: LeaseKeeper) -> None:
    time.now = SAID_HELLO + 3.0
    number = lease.beat()
    lease.welcome(TERMS, SAID_HELLO + 1.0)

    lease.acknowledged(number)

    assert lease.lease_end == SAID_HELLO + 11.0


@pytest.mark.parametrize(
    ("passed", "may_begin", "may_send"), [(8.9, True, True), (9.1, False, True), (10.0, False, False)]
)
def test_a_margin_of_the_lease_must_be_left_to_begin_what_may_not_be_repeated(
    time: Time, lease: LeaseKeeper, passed: float, may_begin: bool, may_send: bool
) -> None:
    time.now = SAID_HELLO + passed

    assert (lease.may_begin(), lease.may_send()) == (may_begin, may_send)

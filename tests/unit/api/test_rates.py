"""What one caller may ask for: so many calls in a time, and so many streams at once."""

import contextlib

import pytest

from perdure_control_plane.api.rates import MOST_COUNTED, Rates
from perdure_control_plane.domain.errors import CallRateReached, StreamLimitReached
from perdure_control_plane.domain.ids import Principal

ADA, EVE = Principal("keys/ada"), Principal("keys/eve")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def taken(rates: Rates, principal: Principal, most: int = 1000) -> int:
    """How many calls are let through at once."""
    for number in range(most):
        try:
            rates.take(principal)
        except CallRateReached:
            return number
    return most


def test_after_a_pause_two_seconds_calls_are_let_through_and_then_as_many_as_the_rate_says() -> None:
    clock = Clock()
    rates = Rates(5, 0, clock)

    assert taken(rates, ADA) == 10
    clock.now += 1
    assert taken(rates, ADA) == 5
    clock.now += 3600
    assert taken(rates, ADA) == 10


def test_what_one_uses_up_is_not_another_s() -> None:
    rates = Rates(5, 0, Clock())

    assert [taken(rates, who) for who in (ADA, EVE, ADA)] == [10, 10, 0]


def test_who_is_refused_is_told_when_the_next_call_is_let_through() -> None:
    clock = Clock()
    rates = Rates(0.5, 0, clock)
    taken(rates, ADA)

    with pytest.raises(CallRateReached) as refused:
        rates.take(ADA)

    assert refused.value.retry_seconds == 2
    assert dict(refused.value.metadata) == {"principal": "keys/ada", "limit": "0.5"}
    clock.now += 2
    assert taken(rates, ADA) == 1


def test_no_more_streams_are_open_at_once_than_may_be() -> None:
    rates = Rates(0, 2, Clock())
    with rates.stream(ADA), rates.stream(EVE):
        with rates.stream(ADA), pytest.raises(StreamLimitReached), rates.stream(ADA):
            pytest.fail("a third one is open")
        with contextlib.suppress(ZeroDivisionError), rates.stream(ADA):
            raise ZeroDivisionError
        with rates.stream(ADA):
            pass


def test_without_limits_everything_is_let_through() -> None:
    rates = Rates(0, 0, Clock())

    assert taken(rates, ADA, 5000) == 5000
    with contextlib.ExitStack() as streams:
        for _ in range(500):
            streams.enter_context(rates.stream(ADA))


def test_of_very_many_callers_those_who_wait_are_remembered() -> None:
    clock = Clock()
    rates = Rates(1, 0, clock)
    for number in range(MOST_COUNTED):
        rates.take(Principal(f"users/{number}"))
    taken(rates, EVE)
    clock.now += 1.5
    rates.take(ADA)

    assert [taken(rates, who) for who in (EVE, ADA)] == [1, 1]

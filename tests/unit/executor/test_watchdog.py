"""Who looks at the event loop from outside of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from perdure_executor.host import Host
from perdure_executor.watchdog import LOOKS, Watchdog
from perdure_executor.work_end import THREADS_LEFT_EXIT_CODE, WorkEnd


@dataclass
class Patient:
    """An executor that holds a run until its work end, at 10 s, and a watchdog that looks at it."""

    now: float = 0.0
    holds: int = 1
    work_end: float = 10.0
    codes: list[int] = field(default_factory=list)
    life: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        host = Host(seconds=lambda: self.now, end_process=self.codes.append)
        what_runs: Any = self
        self.loop = WorkEnd(what_runs, what_runs, host)
        self._watchdog = Watchdog(self.loop, lambda: self.life.append("shown"), host)

    @property
    def count(self) -> int:
        return self.holds

    def look(self, turns: Iterator[int]) -> None:
        """Looks once after each of these numbers of turns of its event loop."""
        for number in turns:
            self.loop.turns += number
            self._watchdog.look()


@pytest.fixture
def patient() -> Patient:
    return Patient()


def standing(looks: int) -> Iterator[int]:
    return iter([0] * looks)


def test_a_loop_that_stands_still_past_the_work_end_ends_the_process(patient: Patient) -> None:
    patient.look(standing(100))
    assert patient.codes == []

    patient.now = patient.work_end
    patient.look(standing(LOOKS))
    assert patient.codes == [THREADS_LEFT_EXIT_CODE]


def test_a_loop_that_turns_is_left_alone_though_what_it_holds_goes_on_past_the_work_end(patient: Patient) -> None:
    patient.now = patient.work_end
    patient.look(iter([1] * 100))

    assert patient.codes == []


def test_a_process_that_was_suspended_past_the_work_end_has_a_moment_to_find_out(patient: Patient) -> None:
    patient.look(iter([1]))
    patient.now = patient.work_end + 3600
    patient.look(standing(LOOKS - 1))
    patient.look(iter([1]))
    patient.look(standing(LOOKS - 1))

    assert patient.codes == []


def test_a_loop_that_holds_nothing_may_stand_still(patient: Patient) -> None:
    patient.now, patient.holds = patient.work_end, 0
    patient.look(standing(100))

    assert patient.codes == []


def test_it_shows_life_at_each_look(patient: Patient) -> None:
    patient.look(standing(2))

    assert len(patient.life) == 2

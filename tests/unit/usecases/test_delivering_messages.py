"""Messages whose run is gone, as another copy of the store has taken the place of the one that had both."""

from collections.abc import Callable
from typing import Any

import pytest

from perdure_control_plane.domain.errors import NotFound
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.usecases.deliver_messages import deliver_messages

TARGET = RunId("01a1fe94-fa7e-72c3-9f24-000000000001")


class Store:
    """A store without runs, which has messages to one when it is first asked, and later only where they were `kept`."""

    def __init__(self, *, kept: bool) -> None:
        self.messages = self.runs = self
        self._kept = kept

    async def read(self, body: Callable[[Any], Any]) -> Any:
        return body(self)

    def targets(self, limit: int) -> list[RunId]:
        return [TARGET]

    def to_run(self, target: RunId) -> list[str]:
        return ["a message"] if self._kept else []

    def get(self, run_id: RunId) -> Any:
        raise NotFound(f"runs/{run_id}")


async def test_a_run_that_is_gone_with_all_that_it_was_to_be_told_is_no_failure() -> None:
    store: Any = Store(kept=False)

    delivered = await deliver_messages(store)

    assert (delivered.told, delivered.failed) == (0, {})


async def test_messages_without_their_run_are_a_failure() -> None:
    store: Any = Store(kept=True)

    delivered = await deliver_messages(store)

    assert delivered.told == 0
    with pytest.raises(NotFound):
        raise delivered.failed[TARGET]

"""Calls to control planes: each goes to one that answers; the answer may be lost."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

from perdure_control_plane.domain.errors import PerdureError, StoreUnavailable
from tests.simulation.control_planes import ControlPlane
from tests.simulation.loop import Process
from tests.simulation.record import Record

Ask = Callable[[ControlPlane], Awaitable[Any]]
"""What a control plane is to do."""

PATIENCE_SECONDS: Final = 5.0


class NoAnswer(Exception):
    """No answer came. Whether it was done is not known."""


class Calls:
    """Makes the calls of one caller."""

    def __init__(
        self,
        caller: Process,
        servers: Callable[[], list[ControlPlane]],
        record: Record,
        chance: random.Random,
        epoch: Callable[[], int],
    ) -> None:
        """`servers` are those that answer now; `epoch` is the store's."""
        self.rate = 0.0
        """How likely an answer is lost."""
        self.asked_in = 0
        """The store's epoch when the call that was answered last was made."""
        self._caller = caller
        self._servers = servers
        self._record = record
        self._chance = chance
        self.epoch: Final = epoch

    async def ask(self, work: Ask) -> Any:
        """Has a control plane do something. Raises NoAnswer, and the refusal."""
        servers = self._servers()
        if not servers:
            await asyncio.sleep(0.2)
            raise NoAnswer("no server answers")
        server, epoch = self._chance.choice(servers), self.epoch()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        server.process.after(self._latency(), lambda: server.process.spawn(self._serve(server, work, answer)))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                result = await answer
        except TimeoutError:
            raise NoAnswer("no answer came in time") from None
        except StoreUnavailable as error:
            raise NoAnswer(str(error)) from None
        self.asked_in = epoch
        return result

    async def _serve(self, server: ControlPlane, work: Ask, answer: "asyncio.Future[Any]") -> None:
        try:
            result, error = await work(server), None
        except PerdureError as refusal:
            result, error = None, refusal
        if self.rate and self._chance.random() < self.rate:
            self._record.hit("lost answer", server.process.name)
            return
        self._caller.after(self._latency(), _settle, answer, result, error)

    def _latency(self) -> float:
        return 0.0005 + 0.05 * self._chance.random() ** 4


def _settle(answer: "asyncio.Future[Any]", result: object, error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)

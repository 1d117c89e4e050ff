"""Executors as processes: the real worker with everything behind it; what its nodes do is drawn by chance."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any, Final

from perdure.runlog.json_objects import JsonObject
from perdure.runlog.witnesses import Launch
from perdure_executor.asking import Unanswered
from perdure_executor.calls import Calls
from perdure_executor.commands import Supervisor
from perdure_executor.host import Host
from perdure_executor.node_context import Call, Equipment, NodeFailure
from perdure_executor.worker import Profile, Worker
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.network import SimulatedChannel
from tests.simulation.plans import LABEL
from tests.simulation.record import LaunchSeen, Record


class _NoCommands(Supervisor):
    """Runs no command here, and is told work ends all the same."""

    async def feed_work_end(self, at: float) -> None:
        """Nothing runs under it."""


class Work:
    """What functions do, and what the targets of effects see of it."""

    def __init__(self, loop: SimulatedLoop, record: Record, chance: random.Random, epoch: Callable[[], int]) -> None:
        """`epoch` is the store's."""
        self.calm = False
        """Whether everything succeeds, and soon."""
        self.under_way: Final[dict[str, int]] = {}
        """For each executor, how many guarded effects it is in the middle of."""
        self._loop = loop
        self._record = record
        self._chance = chance
        self._epoch = epoch

    def functions(self, executor: str) -> dict[str, Callable[[Call], object]]:
        """What an executor has registered."""

        async def free(call: Call) -> JsonObject:
            self._ask(executor, call)
            return await self._do(executor, call)

        async def once(call: Call) -> JsonObject:
            self._ask(executor, call)
            self._record.launches.append(
                LaunchSeen(Launch(call.idempotency_key, call.node), call.run_id, self._epoch())
            )
            self._record.step(executor, "launched", run=call.run_id, node=call.node, key=call.idempotency_key[:8])
            self.under_way[executor] = self.under_way.get(executor, 0) + 1
            try:
                return await self._do(executor, call)
            finally:
                self.under_way[executor] -= 1

        return {"free": free, "once": once}

    def _ask(self, executor: str, call: Call) -> None:
        """Asks a person now and then, before anything is done: the same however often the same work begins."""
        chance = random.Random(call.idempotency_key)
        if chance.random() > 0.1:
            return
        for number in range(chance.randint(1, 2)):
            ways: dict[str, Any] = chance.choice([{"options": ["left", "right"], "default": "left"}, {"schema": {}}])
            self._record.hit("person asked", executor, run=call.run_id, node=call.node, attempt=call.attempt)
            with contextlib.suppress(Unanswered):
                call.ask("Which?", name=f"question {number}", timeout=chance.choice([4, 60]), **ways)
                self._record.hit("answer given", executor, run=call.run_id, node=call.node, attempt=call.attempt)

    async def _do(self, executor: str, call: Call) -> JsonObject:
        draw = self._chance.random()
        seconds = 0.01 + (0.2 if self.calm else 3.0) * self._chance.random() ** 2
        if not self.calm and draw > 0.94:
            seconds += 6.0
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if draw > 0.9:
                self._record.hit("work that will not end", executor)
                await asyncio.sleep(2.0 * self._chance.random())
            raise
        if not self.calm and 0.68 < draw <= 0.9:
            self._record.hit("work failed", executor, run=call.run_id, node=call.node)
            raise NodeFailure("it went wrong")
        return {"value": int(self._chance.random() * 100)}


def labels_of(executor: str) -> tuple[str, ...]:
    """What an executor of a name was given; the second has nothing that anybody asks for."""
    return () if executor.startswith("executor2") else (LABEL,)


class Executor:
    """One process that works."""

    def __init__(self, process: Process, worker: Worker) -> None:
        self.process: Final = process
        self.worker: Final = worker


def hire(loop: SimulatedLoop, process: Process, record: Record, work: Work, channel: SimulatedChannel) -> Executor:
    """Starts an executor."""

    def end_process(code: int) -> None:
        record.hit("executor ended itself", process.name, code=code)
        process.kill()

    def equip(max_payload_bytes: int) -> Equipment:
        return Equipment(
            supervisor=supervisor,
            functions=work.functions(process.name),
            calls=calls,
            workspace=".",
            environment={},
            max_payload_bytes=max_payload_bytes,
            max_task_output_bytes=1024,
            kill_grace=1.0,
            providers={},
        )

    calls, supervisor = Calls(1), _NoCommands()
    profile = Profile(
        executor_id=process.name.partition(".")[0],
        incarnation=f"{process.name}-process",
        queues=("default",),
        providers=("builtin",),
        labels=labels_of(process.name),
        slots=4,
        version="simulated",
        drain_seconds=1.0,
    )
    worker = Worker(channel, profile, equip, Host(loop.time, end_process))
    process.spawn(_work(worker, process, record))
    return Executor(process, worker)


async def _work(worker: Worker, process: Process, record: Record) -> None:
    try:
        code = await worker.run()
    except Exception as error:  # the process would end with a traceback
        record.broken.append(f"{process.name}: ended with {error!r}")
        raise
    record.step(process.name, "left", code=code)
    process.kill()

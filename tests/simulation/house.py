"""Everything that runs in a trial: the database, the network, control planes, executors, and who restarts them."""

import asyncio
import random
from typing import Final

from perdure_control_plane.storage.writer import Committed
from tests.simulation.control_planes import ControlPlane, Starts
from tests.simulation.database import Database
from tests.simulation.executors import Executor, Work, hire
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.network import Network, SimulatedCall, SimulatedChannel, Stream
from tests.simulation.record import Record


class House:
    """The processes of one trial."""

    def __init__(
        self, loop: SimulatedLoop, record: Record, database: Database, chance: random.Random, servers: int
    ) -> None:
        self.record: Final = record
        self.database: Final = database
        self.chance: Final = chance
        self.network: Final = Network(loop, record, chance)
        self.work: Final = Work(loop, record, chance, lambda: database.epoch)
        self.world: Final = loop.world
        self._loop = loop
        self._starts = Starts()
        self._servers: dict[str, ControlPlane] = {}
        self._executors: dict[str, Executor] = {}
        self._lives: dict[str, int] = {}
        self._again_at: dict[str, float] = {}
        """When what is gone is started again."""
        for number in range(servers):
            self._serve(f"server{number + 1}")

    def serving(self) -> list[ControlPlane]:
        """Control planes that answer, or would, were they not suspended."""
        return [server for server in self._servers.values() if server.reachable]

    def working(self) -> list[Executor]:
        """Executors that are alive."""
        return [executor for executor in self._executors.values() if executor.process.alive]

    async def keep(self) -> None:
        """Starts what is gone again, each after a while of its own, as whoever runs them would."""
        while True:
            await asyncio.sleep(0.1)
            for name, process in self._gone():
                at = self._again_at.setdefault(name, self._loop.time() + 3.0 * self.chance.random() ** 2)
                if self._loop.time() < at:
                    continue
                del self._again_at[name]
                self.network.break_streams_of(process)
                if name in self._servers:
                    self._serve(name)
                else:
                    self.hire(name)

    def _gone(self) -> list[tuple[str, Process]]:
        everything = [*self._servers.items(), *self._executors.items()]
        return [(name, program.process) for name, program in everything if not program.process.alive]

    def _serve(self, name: str) -> None:
        process = self._process(name)
        server = ControlPlane(self.database, process, self.record, self._tell)
        self._servers[name] = server
        process.spawn(server.run(self._starts))

    def _tell(self, teller: str, committed: Committed) -> None:
        for server in self.serving():
            if server.process.name != teller and self.chance.random() > 0.1:  # a hint may be lost
                server.process.after(self.network.latency(), server.store.hear, committed)

    def hire(self, name: str) -> None:
        """Starts an executor of a name, as a new process."""
        process = self._process(name)
        channel = SimulatedChannel(lambda: self._call(process))
        self._executors[name] = hire(self._loop, process, self.record, self.work, channel)

    def _call(self, client: Process) -> SimulatedCall:
        reachable = [
            server
            for server in self.serving()
            if not server.process.suspended and not self.network.is_cut(_host(client), _host(server.process))
        ]
        if not reachable:
            return SimulatedCall(None)
        server = self.chance.choice(reachable)
        return SimulatedCall(Stream(self.network, client, server.process, server.work))

    def _process(self, name: str) -> Process:
        self._lives[name] = self._lives.get(name, 0) + 1
        return Process(self._loop, f"{name}.{self._lives[name]}")

    def kill(self, process: Process) -> None:
        """Ends a process; its peers learn of it."""
        process.kill()
        self.network.break_streams_of(process)

    def promote(self) -> None:
        """Puts a lagging copy in the place of the database."""
        before = len(self.database.losses)
        if not self.database.promote():
            return
        loss = self.database.losses[before]
        self.record.hit("promotion to a lagging copy", "database", epoch=self.database.epoch)
        if loss.guarded:
            self.record.hit("promotion that lost a guarded start", "database", runs=sorted(loss.guarded))
        if not self.database.shared:
            # A backup is put in place of a database whose server is stopped, and the count of starts goes with it.
            self._starts.count = None
            for server in self._servers.values():
                self.kill(server.process)

    def come_to_calm(self) -> None:
        """Ends every fault that lasts."""
        self.network.rate = self.database.rate = self.database.stalled_until = 0.0
        self.network.heal()
        for process in [
            *(server.process for server in self._servers.values()),
            *(executor.process for executor in self._executors.values()),
        ]:
            if process.suspended:
                process.resume()
        self.work.calm = True


def _host(process: Process) -> str:
    return process.name.partition(".")[0]

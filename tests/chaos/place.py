"""Where a trial takes place: its database, if it has one of its own, and the network between its programs."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tests.chaos.fleet import Seat
from tests.chaos.network import Door
from tests.free_ports import free_port
from tests.postgres_nodes import DATABASE, USER, PostgresNode, PostgresPair, place_for_nodes

STORES: Final = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Place:
    """What lies under a fleet."""

    seats: list[Seat]
    server_doors: list[Door]
    """Between everybody and the control planes."""
    database: str
    """The address by which control planes know their database; empty for SQLite."""
    pair: PostgresPair | None
    database_doors: list[Door]
    """Between the control planes and their database, one for each of its servers."""

    @property
    def doors(self) -> list[Door]:
        """Everything that can be cut or held up."""
        return [*self.server_doors, *self.database_doors]

    async def kill_database(self) -> None:
        """Ends the database at once, and starts it again."""
        assert self.pair is not None
        await self.pair.primary.kill()
        await self.pair.primary.start()

    async def fail_over(self) -> None:
        """Loses the primary for good: its standby takes over, and gets a new standby."""
        assert self.pair is not None
        await self.pair.fail_over()
        await self.pair.mend()


@asynccontextmanager
async def place(store: str) -> AsyncIterator[Place]:
    """Makes a place for one control plane on SQLite, or for two on a PostgreSQL primary with a synchronous standby."""
    async with AsyncExitStack() as stack:
        servers = [await _door(stack, free_port()) for _ in range(1 if store == "sqlite" else 2)]
        seats = [Seat(door.to_port, door.port) for door in servers]
        if store == "sqlite":
            yield Place(seats, servers, "", None, [])
            return
        directory = stack.enter_context(place_for_nodes())
        pair = PostgresPair(PostgresNode(directory / "one"), PostgresNode(directory / "two"))
        stack.push_async_callback(pair.close)
        await pair.start()
        databases = [await _door(stack, node.port) for node in (pair.primary, pair.standby)]
        hosts = ",".join(f"127.0.0.1:{door.port}" for door in databases)
        yield Place(seats, servers, f"postgresql://{USER}@{hosts}/{DATABASE}", pair, databases)


async def _door(stack: AsyncExitStack, to_port: int) -> Door:
    door = Door(to_port)
    await door.open()
    stack.push_async_callback(door.close)
    return door

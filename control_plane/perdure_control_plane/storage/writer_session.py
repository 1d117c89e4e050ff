"""What the writer needs of a database."""

from collections.abc import Callable
from typing import Protocol

from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.storage.unit_of_work import SqlTransaction


class Session(Protocol):
    """A database connection as the writer uses it."""

    async def transact(self, work: Callable[[SqlTransaction], None]) -> None:
        """Does work in one transaction and commits it.

        Raises what the work or the commit raised; then nothing of it is stored, unless nobody knows what became of the
        commit.
        """

    def unavailable(self, error: Exception) -> StoreUnavailable | None:
        """The plain sentence where the error says that the store cannot write now; None for any other error."""

    def damage(self, error: Exception) -> str | None:
        """The plain sentence where the error says that nothing may be written any more; None for any other error."""

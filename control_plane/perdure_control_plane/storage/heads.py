"""Heads of runs as the last commit left them, so that the next batch of a run needs no reading.

Only a hint: every statement that stores a head repeats where its row must be, and a row that somebody else has moved is
read again.
"""

import operator
from collections import OrderedDict
from typing import Final, NamedTuple

from perdure.runlog.head import RunHead
from perdure.runlog.states import RunState

SIZE: Final = 20_000


class Mark(NamedTuple):
    """Where a row is: what a statement that moves it must find."""

    last_sequence: int
    epoch: int
    next_ordinal: int
    tail: int
    lease_id: str | None
    state: RunState
    open_waits: int
    outside_sequence: int
    child: bool
    children: int

    @classmethod
    def of(cls, head: RunHead) -> "Mark":
        """The mark of a head before it is folded further."""
        return cls._make(_values(head))


_values: Final = operator.attrgetter(*Mark._fields)


class HeadCache:
    """Heads of runs that have a holder."""

    def __init__(self) -> None:
        self._heads: OrderedDict[str, RunHead] = OrderedDict()
        self.copy_is_known = False
        """Whether the database was found to be the copy of the data that its mark was made in; a connection keeps to one."""

    def take(self, run_id: str) -> RunHead | None:
        """The head, which the caller may fold; it is not kept until it is put back."""
        return self._heads.pop(run_id, None)

    def put(self, run_id: str, head: RunHead) -> None:
        """Keeps a head that was stored."""
        self._heads[run_id] = head
        if len(self._heads) > SIZE:
            self._heads.popitem(last=False)

    def clear(self) -> None:
        """Forgets everything: what followed the last commit is not stored, and the next connection may be another copy's."""
        self._heads.clear()
        self.copy_is_known = False

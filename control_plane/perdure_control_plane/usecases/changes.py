"""Who waits for what: watchers for events, holders for facts, and executors for ready runs.

Everything here is a hint. It makes an answer come sooner; whoever waits looks into the store again after a while, so a
hint that is lost costs time and nothing else.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol


class Commit(Protocol):
    """What a commit changed."""

    @property
    def run_ids(self) -> Sequence[str]:
        """Runs that got events."""

    @property
    def facts(self) -> Sequence[str]:
        """Those of them that got events from outside."""

    @property
    def queued(self) -> bool:
        """Whether a run became ready for an executor."""

    @property
    def messages(self) -> bool:
        """Whether a run has to tell another something."""

    @property
    def approvals(self) -> bool:
        """Whether something may have happened to an approval."""


class Changes:
    """Passes commits on to those who wait for them."""

    def __init__(self) -> None:
        # In the order in which they came: whoever has waited longest is woken first.
        self._watchers: dict[str, dict[asyncio.Event, None]] = {}
        self._holders: dict[str, Callable[[str], None]] = {}
        self._executors: dict[asyncio.Event, None] = {}
        self._messengers: set[asyncio.Event] = set()
        self._placers: set[asyncio.Event] = set()
        self._inboxes: dict[asyncio.Event, None] = {}
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether the server is about to end."""
        return self._draining

    def committed(self, commit: Commit) -> None:
        """Wakes whoever waits for what this commit changed."""
        if self._watchers:
            for run_id in commit.run_ids:
                for wake in self._watchers.get(run_id, ()):
                    wake.set()
        for run_id in commit.facts:
            holder = self._holders.get(run_id)
            if holder is not None:
                holder(run_id)
        if commit.queued:
            for wake in self._executors:
                wake.set()
        if commit.messages:
            for wake in self._messengers:
                wake.set()
        if commit.approvals:
            for wake in self._placers:
                wake.set()

    def drain(self) -> None:
        """Wakes everybody, to be told that the server ends."""
        self._draining = True
        self.look_again()

    def look_again(self) -> None:
        """Wakes everybody who waits for events, approvals or work: there may have been more than was told here."""
        for wakes in [*self._watchers.values(), self._executors, self._inboxes]:
            for wake in wakes:
                wake.set()

    def subscribe(self, wake: asyncio.Event, run_ids: Iterable[str]) -> Callable[[], None]:
        """Sets `wake` whenever one of the runs gets events. Returns what ends that."""
        wanted = list(run_ids)
        for run_id in wanted:
            self._watchers.setdefault(run_id, {})[wake] = None

        def end() -> None:
            for run_id in wanted:
                wakes = self._watchers[run_id]
                wakes.pop(wake, None)
                if not wakes:
                    del self._watchers[run_id]

        return end

    def hold(self, run_id: str, deliver: Callable[[str], None]) -> None:
        """Calls `deliver` whenever a run gets facts, until it is let go."""
        self._holders[run_id] = deliver

    def let_go(self, run_id: str, deliver: Callable[[str], None]) -> None:
        """Ends what `hold` began, unless another holder has begun since."""
        if self._holders.get(run_id) == deliver:
            del self._holders[run_id]

    def await_work(self, wake: asyncio.Event) -> Callable[[], None]:
        """Sets `wake` whenever a run becomes ready. Returns what ends that."""
        self._executors[wake] = None

        def end() -> None:
            self._executors.pop(wake, None)

        return end

    def await_messages(self, wake: asyncio.Event) -> None:
        """Sets `wake` whenever a run has to tell another something."""
        self._messengers.add(wake)

    def await_approvals(self, wake: asyncio.Event) -> None:
        """Sets `wake` whenever something may have happened to an approval that has no place in order yet."""
        self._placers.add(wake)

    def placed(self) -> None:
        """Wakes whoever follows approvals: changes have got their places."""
        for wake in self._inboxes:
            wake.set()

    def follow_approvals(self, wake: asyncio.Event) -> Callable[[], None]:
        """Sets `wake` whenever changes of approvals have got their places. Returns what ends that."""
        self._inboxes[wake] = None

        def end() -> None:
            self._inboxes.pop(wake, None)

        return end

"""Where what is followed is shown: a live tree on a terminal, lines anywhere else. Both on standard error."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Protocol, Self

import typer
from rich.console import Console
from rich.live import Live

from perdure.cli.following.lines import lines
from perdure.cli.following.story import Story
from perdure.cli.following.tree import tree
from perdure.v1.flows_pb2 import Flow
from perdure.v1.run_events_pb2 import RecordedEvent

FRAME_SECONDS: Final = 0.2


class View(Protocol):
    """Shows a story while it goes on."""

    def show(self, story: Story, news: Flow | RecordedEvent) -> None:
        """Shows what has just been taken in."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def fitting_view() -> View:
    """The view that standard error can show."""
    capable = sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    return LiveTree(Console(stderr=True)) if capable else PlainLines()


class Silent:
    """Shows nothing: the news themselves are printed as data."""

    def show(self, story: Story, news: Flow | RecordedEvent) -> None:
        """Nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return


class PlainLines(Silent):
    """A line for each thing that happens."""

    def show(self, story: Story, news: Flow | RecordedEvent) -> None:
        """Prints what has just been taken in."""
        for line in lines(story, news):
            typer.echo(line, err=True)


class LiveTree:
    """A tree that is drawn again a few times a second, by the event loop's own clock."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="ellipsis")
        self._story = Story()
        self._drawing: asyncio.Task[None] | None = None

    def show(self, story: Story, news: Flow | RecordedEvent) -> None:
        """The next frame shows it."""
        self._story = story

    async def __aenter__(self) -> Self:
        self._live.start()
        self._drawing = asyncio.create_task(self._draw_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._drawing is not None:
            self._drawing.cancel()
        self._live.vertical_overflow = "visible"
        self._draw()
        self._live.stop()

    async def _draw_on(self) -> None:
        while True:
            self._draw()
            await asyncio.sleep(FRAME_SECONDS)

    def _draw(self) -> None:
        self._live.update(tree(self._story, datetime.now(UTC)), refresh=True)

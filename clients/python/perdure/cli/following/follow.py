"""Follows to an end: the run or flow is over, it waits for a person, or the time that was given is."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from perdure.cli.exit_codes import ExitCode
from perdure.cli.first_answer import first_answer
from perdure.cli.following.story import Story
from perdure.cli.following.views import Silent, View, fitting_view
from perdure.cli.names import bare
from perdure.cli.printing.formats import Format, print_item
from perdure.cli.printing.opening import opened
from perdure.client import CallFailed, Client, FlowNews, watches
from perdure.runlog.plans import WalkPlan
from perdure.runlog.states import TERMINAL, RunState
from perdure.v1.flows_pb2 import Flow, WatchFlowResponse
from perdure.v1.plans_pb2 import Plan
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure.v1.runs_pb2 import GetRunPlanRequest, GetRunRequest


class Until(StrEnum):
    """What ends following, beside the end."""

    HELD = "held"
    SETTLED = "settled"


UntilOption = Annotated[
    Until,
    typer.Option("--until", help="Stop following when it waits for a person (held), or only at its end (settled)."),
]


WaitTimeout = Annotated[
    str | None, typer.Option("--wait-timeout", metavar="DURATION", help="Longest time to follow it: 30s, 5m, 2h.")
]
"""Not the run's own time, which is --timeout wherever there is one."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far to follow."""

    until: Until
    limit: timedelta | None


async def follow_flow(
    client: Client, name: str, bounds: Bounds, format: Format = Format.TABLE, story: Story | None = None
) -> ExitCode:
    """Follows a flow, shows it, and says how it ended. Other formats than a table print every piece as data.

    Given a story, it goes on where that ends.
    """
    story = Story() if story is None else story

    def verdict(news: FlowNews) -> ExitCode | None:
        code = flow_verdict(story.flow, bounds.until) if story.flow is not None else None
        if code is ExitCode.WAITING:
            return code if any(run.held for run in story.runs.values()) else None
        return code if isinstance(news, Flow) else None

    following = _Following(story, bounds.limit, format, verdict, f"perdure flows watch {bare(name)}")
    return await following.over(client.watch_flow(name, story.cursors))


async def follow_run(client: Client, name: str, bounds: Bounds, format: Format = Format.TABLE) -> ExitCode:
    """Follows a run, shows it, and says how it ended."""
    story = Story(alone=True)
    await first_answer(lambda: look_ahead(client, story, name))
    story.known = known = (await client.runs.GetRun(GetRunRequest(name=name))).last_sequence

    def verdict(news: FlowNews) -> ExitCode | None:
        run = next(iter(story.runs.values()))
        if run.head.last_sequence < known:
            # What stood still then has gone on since.
            return None
        if run.head.state in TERMINAL:
            return ExitCode.OK if run.head.state is RunState.COMPLETED else ExitCode.UNSUCCESSFUL
        return ExitCode.WAITING if run.held and bounds.until is Until.HELD else None

    following = _Following(story, bounds.limit, format, verdict, f"perdure runs watch {bare(name)}")
    return await following.over(client.watch_run(name))


async def look_ahead(client: Client, story: Story, run: str) -> None:
    """Reads the plan of a run that is going to be followed, so that what is to come can be shown. Raises CallFailed."""
    stored = await client.runs.GetRunPlan(GetRunPlanRequest(name=run))
    story.plans[bare(run)] = WalkPlan(Plan.FromString(stored.plan))


def flow_verdict(flow: Flow, until: Until) -> ExitCode | None:
    """The exit code that a flow stands for; None while there is more to follow."""
    if flow.settled:
        return ExitCode.OK if flow.status == Flow.STATUS_SUCCEEDED else ExitCode.UNSUCCESSFUL
    return ExitCode.WAITING if flow.status == Flow.STATUS_WAITING and until is Until.HELD else None


def tell_reconnections() -> None:
    """Tells people from now on when the server is away."""
    reconnections = logging.getLogger(watches.__name__)
    reconnections.setLevel(logging.INFO)
    reconnections.addHandler(_Notice())


class _Notice(logging.Handler):
    """Tells people that the server is away, and that nothing is lost by it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one line."""
        typer.echo("the connection to the server was lost; trying again", err=True)


@dataclass(slots=True)
class _Following:
    story: Story
    limit: timedelta | None
    format: Format
    verdict: Callable[[FlowNews], ExitCode | None]
    again: str

    async def over(self, news: AsyncIterator[FlowNews]) -> ExitCode:
        """Follows to the end and tells people what to do then."""
        view: View = fitting_view() if self.format is Format.TABLE else Silent()
        tell_reconnections()
        try:
            async with view, asyncio.timeout(self.limit.total_seconds() if self.limit else None):
                return await self._take_in(news, view)
        except TimeoutError:
            typer.echo(f"the time is over; follow it again: {self.again}", err=True)
            return ExitCode.DEADLINE
        except CallFailed as failure:
            if failure.lost:
                typer.echo(
                    f"there was no server for too long; when there is one, follow it again: {self.again}", err=True
                )
            raise
        except asyncio.CancelledError:
            typer.echo(f"no longer followed; follow it again: {self.again}", err=True)
            raise

    async def _take_in(self, news: AsyncIterator[FlowNews], view: View) -> ExitCode:
        code: ExitCode | None = None
        async for item in news:
            item = opened(item)
            self.story.tell(item)
            view.show(self.story, item)
            if self.format is not Format.TABLE:
                print_item(_piece(self.story, item), self.format, str)
            code = self.verdict(item)
            if code is ExitCode.WAITING:
                break
        return ExitCode.FAILURE if code is None else code


def _piece(story: Story, item: FlowNews) -> WatchFlowResponse | RecordedEvent:
    if isinstance(item, Flow):
        return WatchFlowResponse(flow=item)
    return item if story.alone else WatchFlowResponse(event=item)

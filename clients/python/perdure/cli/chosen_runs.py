"""Which runs a command is about: some that are named, those of a flow, or all."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

import typer

from perdure.cli import names
from perdure.client import Client, pages
from perdure.v1.flows_pb2 import GetFlowRequest
from perdure.v1.runs_pb2 import ListRunsRequest

LARGEST_PAGE: Final = 500

Runs = Annotated[list[str] | None, typer.Argument(metavar="RUN", help="The runs: each its id, or runs/{run}.")]
RunsOfFlow = Annotated[str | None, typer.Option("--flow-id", metavar="FLOW", help="The runs of this flow.")]
AllRuns = Annotated[bool, typer.Option("--all", help="Every run of the server.")]


async def choose_runs(perdure: Client, runs: list[str] | None, flow_id: str | None, all_runs: bool) -> list[str]:
    """Names of the runs, each once. Raises BadParameter unless it is said in one way which."""
    if (bool(runs) + bool(flow_id) + all_runs) != 1:
        raise typer.BadParameter("say which runs: RUN..., --flow-id FLOW, or --all", param_hint="'RUN'")
    if flow_id is not None:
        flow = await perdure.flows.GetFlow(GetFlowRequest(name=names.flow(flow_id)))
        chosen = list(flow.primitive_refs.runs)
    else:
        chosen = [names.run(run) for run in runs or []] or [name async for name in _every_run(perdure)]
    return list(dict.fromkeys(chosen))


async def _every_run(perdure: Client) -> AsyncIterator[str]:
    async for page in pages(perdure.runs.ListRuns, ListRunsRequest(page_size=LARGEST_PAGE)):
        for run in page.runs:
            yield run.name

"""`perdure verify`: reads whole logs and says, rule by rule, whether they keep what a log must keep."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

import typer

from perdure.cli import names
from perdure.cli.connection import connected
from perdure.cli.exit_codes import ExitCode
from perdure.cli.lazy import verb
from perdure.cli.options import Output
from perdure.cli.printing.formats import Format
from perdure.cli.verdicts import Examined, print_verdicts
from perdure.cli.witness_files import Acknowledgements, Launches, Witnesses, read_witnesses
from perdure.client import Client, pages
from perdure.runlog.checker import LogChecker, Violation
from perdure.runlog.plans import read_plan
from perdure.runlog.rules import Rule
from perdure.v1.flows_pb2 import GetFlowRequest
from perdure.v1.runs_pb2 import GetRunPlanRequest, GetRunRequest, ListRunEventsRequest, ListRunsRequest

LARGEST_PAGE: Final = 500

app = verb()


@app.command()
@connected
async def verify(
    perdure: Client,
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN", help="The runs: each its id, or runs/{run}.")
    ] = None,
    flow_id: Annotated[str | None, typer.Option("--flow-id", metavar="FLOW", help="The runs of this flow.")] = None,
    all_runs: Annotated[bool, typer.Option("--all", help="Every run of the server.")] = False,
    acks: Acknowledgements = None,
    launches: Launches = None,
    output: Output = Format.TABLE,
) -> ExitCode:
    """Check logs: read every event of the runs named, walk their plans again, and compare what witnesses saw.

    Believes nobody: what a rule needs and was not given is "not checked". Exits with 1 where a rule is broken.
    """
    if (bool(runs) + bool(flow_id) + all_runs) != 1:
        raise typer.BadParameter("say what to check: RUN..., --flow-id FLOW, or --all", param_hint="'RUN'")
    # Before the logs: whatever a witness has seen, the logs that are read afterwards must hold.
    witnesses = read_witnesses(acks, launches)
    if flow_id is not None:
        flow = await perdure.flows.GetFlow(GetFlowRequest(name=names.flow(flow_id)))
        chosen = list(flow.primitive_refs.runs)
    else:
        chosen = [names.run(run) for run in runs or []] or [name async for name in _every_run(perdure)]
    examined = await _examine(perdure, chosen, witnesses, whole=all_runs)
    print_verdicts(examined, output)
    return ExitCode.FAILURE if examined.violations else ExitCode.OK


async def _every_run(perdure: Client) -> AsyncIterator[str]:
    async for page in pages(perdure.runs.ListRuns, ListRunsRequest(page_size=LARGEST_PAGE)):
        for run in page.runs:
            yield run.name


async def _examine(perdure: Client, chosen: list[str], witnesses: Witnesses, *, whole: bool) -> Examined:
    examined, checkers = Examined(), {}
    for name in dict.fromkeys(chosen):
        checker = await _check(perdure, name, examined)
        if checker is not None:
            checkers[checker.run_id] = checker
    witnesses.compare(checkers, examined, whole=whole)
    return examined


async def _check(perdure: Client, name: str, examined: Examined) -> LogChecker | None:
    """Checks one run at the position it is at now; None where its plan is not what it says it is."""
    row = await perdure.runs.GetRun(GetRunRequest(name=name))
    stored = await perdure.runs.GetRunPlan(GetRunPlanRequest(name=name))
    run_id = names.bare(name)
    try:
        plan = read_plan(stored.plan, stored.digest)
    except ValueError as error:
        examined.add(Violation(Rule.DIGEST, run_id, 0, str(error)))
        examined.finished(0, whole=False)
        return None
    checker, taken = LogChecker(run_id, plan, stored.digest), 0
    async for page in pages(perdure.runs.ListRunEvents, ListRunEventsRequest(name=name, page_size=LARGEST_PAGE)):
        for recorded in page.events:
            if taken < row.last_sequence:
                taken += 1
                checker.take(recorded)
    checker.finish(row)
    examined.add(*checker.violations)
    examined.finished(taken, whole=checker.head.last_sequence == taken)
    return checker

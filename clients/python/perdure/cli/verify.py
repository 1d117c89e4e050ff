"""`perdure verify`: reads whole logs and says, rule by rule, whether they keep what a log must keep."""

import pathlib
from typing import Annotated

import typer

from perdure.cli import names
from perdure.cli.chosen_runs import LARGEST_PAGE, AllRuns, Runs, RunsOfFlow, choose_runs
from perdure.cli.connection import connected
from perdure.cli.exit_codes import ExitCode
from perdure.cli.exported_logs import ExportCheck
from perdure.cli.lazy import verb
from perdure.cli.options import Output
from perdure.cli.printing.formats import Format
from perdure.cli.verdicts import OF_STORES, Examined, print_verdicts
from perdure.cli.witness_files import Witnesses, read_witnesses
from perdure.cli.witness_options import Acknowledgements, Launches
from perdure.client import Client, pages
from perdure.runlog.checker import LogChecker, Violation
from perdure.runlog.plans import read_plan
from perdure.runlog.rules import Rule
from perdure.v1.runs_pb2 import GetRunPlanRequest, GetRunRequest, ListRunEventsRequest

app = verb()


@app.command()
@connected
async def verify(
    perdure: Client,
    runs: Runs = None,
    flow_id: RunsOfFlow = None,
    all_runs: AllRuns = False,
    exports: Annotated[
        list[pathlib.Path] | None,
        typer.Option(
            "--export", metavar="FILE", help="A file of `perdure runs export`: no server is asked. Repeat for more."
        ),
    ] = None,
    acks: Acknowledgements = None,
    launches: Launches = None,
    output: Output = Format.TABLE,
) -> ExitCode:
    """Check logs: read every event of the runs named, walk their plans again, and compare what witnesses saw.

    Believes nobody: what a rule needs and was not given is "not checked". Exits with 1 where a rule is broken.
    """
    if exports and (runs or flow_id or all_runs):
        raise typer.BadParameter("an export is checked whole; name no runs", param_hint="'--export'")
    # Before the logs: whatever a witness has seen, the logs that are read afterwards must hold.
    witnesses = read_witnesses(acks, launches)
    if exports:
        examined = _examine_exports(exports, witnesses)
    else:
        chosen = await choose_runs(perdure, runs, flow_id, all_runs)
        examined = await _examine(perdure, chosen, witnesses, whole=all_runs)
    print_verdicts(examined, output)
    return ExitCode.FAILURE if examined.violations else ExitCode.OK


def _examine_exports(files: list[pathlib.Path], witnesses: Witnesses) -> Examined:
    examined = Examined(out_of_sight=OF_STORES)
    check = ExportCheck(examined, keep=witnesses.any)
    for file in files:
        check.read(file)
    examined.relate(at_rest=False)
    witnesses.compare(check.logs, examined, whole=False)
    return examined


async def _examine(perdure: Client, chosen: list[str], witnesses: Witnesses, *, whole: bool) -> Examined:
    examined, checkers = Examined(out_of_sight=OF_STORES), {}
    for name in chosen:
        checker = await _check(perdure, name, examined)
        if checker is not None:
            examined.tree.add(checker)
        if checker is not None and witnesses.any:
            checkers[checker.run_id] = checker
    examined.relate(at_rest=False)
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

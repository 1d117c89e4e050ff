"""`perdure-server check`: whether a store's logs follow their own rules, and its tables their logs."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import typer

from perdure.runlog.checker import LogChecker
from perdure.runlog.head import IllegalEvent
from perdure.runlog.plans import read_plan
from perdure_control_plane.api.messages.runs import run as run_message
from perdure_control_plane.domain.errors import DataCorrupt, NotFound
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.storage.offline_reading import offline_reading
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.storage.rebuilding import Rebuilder, run_ids
from perdure_control_plane.storage.unit_of_work import SqlTransaction
from perdure_control_plane.usecases.fold_run import whole_log
from perdure_services.settings import ControlPlaneSettings

SOUND: Final = 0
FAULTY: Final = 1
"""Exit codes."""

PROGRESS_EVERY: Final = 1000
"""Runs between two lines of progress."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that cannot be in a sound store."""

    run_id: str
    rule: str
    """A rule of the log, or "projection" where a table is not what the log gives."""
    message: str


@dataclass(frozen=True, slots=True)
class Examined:
    """What a look at a whole store has found."""

    runs: int
    events: int
    faults: list[Fault]


def check(settings: ControlPlaneSettings, output: str) -> int:
    """Prints what is wrong with a store, and returns the exit code. `output` is "text" or "json".

    Reads one snapshot, so servers may run meanwhile. Raises StoreBroken, SchemaUnknown.
    """
    database = settings.database.get_secret_value()
    if database:
        found = asyncio.run(PostgresStore(database).inspect(examine))
    else:
        with offline_reading(settings.data_dir) as transaction:
            found = examine(transaction)
    _PRINTERS[output](found)
    return FAULTY if found.faults else SOUND


def examine(transaction: SqlTransaction) -> Examined:
    """Checks every log of a store, and every table that follows from logs."""
    faults: list[Fault] = []
    runs = events = 0
    rebuilder = Rebuilder(transaction.connection)
    try:
        for run_id in run_ids(transaction.connection):
            count, found = _check_run(transaction, rebuilder, run_id)
            faults += found
            runs, events = runs + 1, events + count
            if runs % PROGRESS_EVERY == 0:
                typer.echo(f"{runs} runs checked, {len(faults)} faults so far", err=True)
    finally:
        rebuilder.close()
    return Examined(runs, events, faults)


def _check_run(tx: SqlTransaction, rebuilder: Rebuilder, run_id: RunId) -> tuple[int, list[Fault]]:
    try:
        run = tx.runs.get(run_id)
        plan = read_plan(tx.playbooks.plan(run.identity.plan_digest), run.identity.plan_digest)
    except NotFound:
        return 0, [Fault(run_id, "projection", "the log has no run row")]
    except (DataCorrupt, ValueError) as error:
        return 0, [Fault(run_id, "PLAN", str(error))]
    checker = LogChecker(run_id, plan, run.identity.plan_digest)
    try:
        log = whole_log(tx, run_id)
    except DataCorrupt as error:
        return 0, [Fault(run_id, "LOG", str(error))]
    for recorded in log:
        checker.take(recorded)
    checker.finish(run_message(run))
    faults = [
        Fault(run_id, found.rule.name, f"event {found.sequence}: {found.message}") for found in checker.violations
    ]
    return len(log), [*faults, *_projection_faults(rebuilder, run_id)]


def _projection_faults(rebuilder: Rebuilder, run_id: RunId) -> Iterator[Fault]:
    try:
        for difference in rebuilder.differences(run_id):
            yield Fault(run_id, "projection", str(difference))
    except IllegalEvent as error:
        yield Fault(run_id, "projection", f"the log cannot be folded: {error}")


def say_faults(faults: Iterable[Fault], *, err: bool = False) -> None:
    """Prints each fault on a line."""
    for fault in faults:
        typer.echo(f"run {fault.run_id}: {fault.rule}: {fault.message}", err=err)


def _print_text(found: Examined) -> None:
    say_faults(found.faults)
    verdict = f"{len(found.faults)} faults" if found.faults else "sound"
    typer.echo(f"{found.runs} runs, {found.events} events: {verdict}")


def _print_json(found: Examined) -> None:
    faults = [{"run": f"runs/{fault.run_id}", "rule": fault.rule, "message": fault.message} for fault in found.faults]
    told = {"sound": not faults, "runs": found.runs, "events": found.events, "faults": faults}
    typer.echo(json.dumps(told, indent=2))


_PRINTERS: Final[dict[str, Callable[[Examined], Any]]] = {"text": _print_text, "json": _print_json}

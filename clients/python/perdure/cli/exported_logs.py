"""Checking the runs of an export, without a server."""

import pathlib
from typing import Final

import typer

from perdure.cli.verdicts import Examined
from perdure.client.exports import ExportUnreadable, read_records
from perdure.runlog.checker import LogChecker, Violation
from perdure.runlog.digests import NO_EVENTS, next_digest
from perdure.runlog.plans import WalkPlan, read_plan
from perdure.runlog.rules import Rule
from perdure.v1.exports_pb2 import ExportedEnd, ExportedRun, ExportRecord
from perdure.v1.run_events_pb2 import RecordedEvent


class ExportCheck:
    """Takes the records of files in order. With `keep` the logs are kept for what witnesses have seen of them."""

    def __init__(self, examined: Examined, *, keep: bool) -> None:
        self.logs: Final[dict[str, LogChecker]] = {}
        self._examined = examined
        self._keep = keep
        self._plans: dict[bytes, WalkPlan] = {}
        self._run: ExportedRun | None = None
        self._checker: LogChecker | None = None
        self._digest = NO_EVENTS
        self._taken = 0

    def read(self, path: pathlib.Path) -> None:
        """Checks every run of a file. Raises BadParameter where it is no export."""
        run_before = self._examined.runs
        try:
            with path.open("rb") as file:
                for record in read_records(file):
                    self._take(record)
        except OSError as error:
            raise typer.BadParameter(f"{path} cannot be read: {error.strerror}", param_hint="'--export'") from error
        except ExportUnreadable as error:
            if self._run is None and self._examined.runs == run_before:
                raise typer.BadParameter(f"{path}: {error}", param_hint="'--export'") from error
            self._break_off(str(error))
        if self._run is not None:
            self._break_off("the file ends in the middle of it")

    def _take(self, record: ExportRecord) -> None:
        match record.WhichOneof("record"):
            case "plan":
                self._take_plan(record.plan.plan, record.plan.digest)
            case "run":
                self._begin(record.run)
            case "event":
                self._take_event(record.event)
            case "end":
                self._finish(record.end)
            case _:
                raise ExportUnreadable("it has a record of a kind that this version does not know")

    def _take_plan(self, plan: bytes, digest: bytes) -> None:
        try:
            self._plans[digest] = read_plan(plan, digest)
        except ValueError as error:
            self._examined.add(Violation(Rule.DIGEST, "", 0, str(error)))

    def _begin(self, run: ExportedRun) -> None:
        if self._run is not None:
            self._break_off("the next run begins before its end")
        plan = self._plans.get(run.plan_digest)
        self._run, self._digest, self._taken = run, NO_EVENTS, 0
        self._checker = None if plan is None else LogChecker(self._run_id, plan, run.plan_digest)
        if plan is None:
            message = f"there is no plan with digest {run.plan_digest.hex()} before it"
            self._examined.add(Violation(Rule.DIGEST, self._run_id, 0, message))

    def _take_event(self, recorded: RecordedEvent) -> None:
        self._taken += 1
        self._digest = next_digest(self._digest, recorded, recorded.event.SerializeToString())
        if self._checker is not None:
            self._checker.take(recorded)

    def _finish(self, end: ExportedEnd) -> None:
        if self._run is None:
            raise ExportUnreadable("a run ends in it that has not begun")
        if (end.last_sequence, end.head_digest) != (self._taken, self._digest):
            told, found = (f"{end.last_sequence} events, digest {end.head_digest.hex()}", self._digest.hex())
            message = f"the export was of {told}; it holds {self._taken} events, digest {found}"
            self._examined.add(Violation(Rule.DIGEST, self._run_id, self._taken, message))
        if self._checker is not None:
            self._checker.finish(self._run.run)
        self._close()

    def _break_off(self, why: str) -> None:
        self._examined.add(Violation(Rule.READABLE, self._run_id, self._taken + 1, why))
        self._close(whole=False)

    def _close(self, *, whole: bool = True) -> None:
        checker = self._checker
        if checker is not None:
            self._examined.add(*checker.violations)
            whole = whole and checker.head.last_sequence == self._taken
            if whole:
                self._examined.tree.add(checker)
            if self._keep:
                self.logs[self._run_id] = checker
        self._examined.finished(self._taken, whole=whole and checker is not None)
        self._run = self._checker = None

    @property
    def _run_id(self) -> str:
        return self._run.run.name.removeprefix("runs/") if self._run is not None else ""

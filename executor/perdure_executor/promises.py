"""What a node says will be there once it has succeeded, and whether it is."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from perdure.runlog.effects import GUARDED
from perdure.runlog.json_objects import JsonObject
from perdure.v1 import instances_pb2, node_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor.contracts import missing, unfit
from perdure_executor.expressions import render_text
from perdure_executor.node_context import NodeContext, Prepared, Reporter, Work, line
from perdure_executor.promised_files import NotAsPromised, PromisedFile, find
from perdure_executor.results import Failed, Result, Succeeded


def promising(context: NodeContext, prepared: Prepared) -> Prepared:
    """The same work, which succeeds only when its node's promises are kept. Raises CannotPrepare."""
    if not isinstance(prepared, Work) or not context.node.HasField("ensures"):
        return prepared
    promise, begin = _promise(context, prepared.folder or context.equipment.workspace), prepared.begin

    async def work(reporter: Reporter) -> Result:
        result = await begin(reporter)
        return await promise.judge(result, reporter) if isinstance(result, Succeeded) else result

    prepared.begin = work
    return prepared


def _promise(context: NodeContext, folder: str) -> "_Promise":
    seen = context.see()
    files = [
        PromisedFile(
            name=promised.path,
            path=render_text(promised.path, seen),
            min_bytes=promised.min_bytes,
            max_bytes=promised.max_bytes if promised.HasField("max_bytes") else None,
            sha256=render_text(promised.sha256, seen),
        )
        for promised in context.node.ensures.files
    ]
    return _Promise(context, folder, files)


@dataclass(frozen=True, slots=True)
class _Promise:
    context: NodeContext
    folder: str
    files: list[PromisedFile]

    async def judge(self, result: Succeeded, reporter: Reporter) -> Result:
        """A success stays one when everything is there; else it is a failure that keeps what the work gave."""
        for fault in self._faults(result.output or {}, result.task):
            return self._broken(result, fault)
        found: list[node_events_pb2.OutputFile] = []
        fault = await _to_its_end(lambda: self._look(found)) if self.files else ""
        if found:
            files = node_events_pb2.OutputFiles(instance=self.context.instance.message(), files=found)
            reporter.say(RunEvent(output_files=files))
        return self._broken(result, fault) if fault else result

    def _faults(self, output: JsonObject, task: node_events_pb2.TaskResult | None) -> Iterator[str]:
        ensures = self.context.node.ensures
        if ensures.HasField("exit_code") and (task is None or task.exit_code != ensures.exit_code):
            yield f"its exit code is not {ensures.exit_code}"
        yield from missing(ensures.fields, output, "")
        yield from unfit(ensures.schema, output, "its output")

    def _look(self, found: list[node_events_pb2.OutputFile]) -> str:
        """Looks at every file; returns what is wrong, or nothing."""
        try:
            found.extend(find(self.folder, self.files))
        except NotAsPromised as other:
            return str(other)
        return ""

    def _broken(self, result: Succeeded, fault: str) -> Failed:
        happened = "; its effect has happened" if self.context.node.effect in GUARDED else ""
        message = line(f"it ended well, and does not ensure what it should: {fault}{happened}")
        return Failed(instances_pb2.FAILURE_CAUSE_ENSURES_NOT_MET, message, result.task, result.output)


async def _to_its_end(look: Callable[[], str]) -> str:
    """Looks in a thread. Cancelling this does not cut it short: the work is done, and what came of it counts."""
    looking = asyncio.ensure_future(asyncio.to_thread(look))
    while not looking.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([looking])
    return looking.result()

"""The edge at which events are made: what a node's work says and leaves goes out without what is secret, and encrypted where
the executor has keys for that."""

from dataclasses import replace
from typing import Any

from perdure.encryption.codec import Codec
from perdure.runlog.json_objects import JsonObject, TooDeep, check_levels
from perdure.secrets.paths import fields, replaced
from perdure.v1 import plans_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor.node_context import NodeContext, Prepared, Reporter, Work
from perdure_executor.redaction import FEWEST_CHARACTERS, MARK, Redaction
from perdure_executor.results import Asked, Failed, Result, Succeeded
from perdure_executor.sealing import sealed_failure


def redacting(context: NodeContext, prepared: Prepared) -> Prepared:
    """The same work, of which nothing comes out that is known to be secret, or declared to be."""
    if not isinstance(prepared, Work):
        return prepared  # what is asked, and what another run is given, is made of what the log has
    redaction, codec, begin = context.equipment.secrets.redaction, context.equipment.codec, prepared.begin

    async def work(reporter: Reporter) -> Result:
        result = await begin(_Edge(reporter, redaction, codec))
        if redaction or context.node.sensitive:
            result = _result(context.node, redaction, result)
        return _sealed(result, codec) if codec.encrypts else result

    prepared.begin = work
    return prepared


class _Edge:
    """A reporter that hands events on without what is secret. What is cut into pieces is redacted before, by its maker."""

    def __init__(self, reporter: Reporter, redaction: Redaction, codec: Codec) -> None:
        self._reporter = reporter
        self._codec = codec
        self._redaction = redaction

    def say(self, event: RunEvent) -> None:
        """Appends a data event."""
        self._reporter.say(self._redacted(event))

    async def keep(self, event: RunEvent) -> None:
        """Appends a data event and returns when it is stored."""
        await self._reporter.keep(self._redacted(event))

    async def room(self) -> None:
        """Returns when there is room for more output on its way to the log."""
        await self._reporter.room()

    @property
    def asked_to_end(self) -> bool:
        """Whether somebody wants the work to end."""
        return self._reporter.asked_to_end

    def _redacted(self, event: RunEvent) -> RunEvent:
        if event.HasField("log_line"):
            event.log_line.text = self._codec.sealed(self._redaction.text(event.log_line.text))
        for file in event.output_files.files if event.HasField("output_files") else ():
            file.path = self._redaction.text(file.path)
        return event


def _sealed(result: Result, codec: Codec) -> Result:
    """What is left of work, encrypted, where anything was given."""
    match result:
        case Succeeded():
            result.output = _sealed_output(result.output, codec)
            return result
        case Failed():
            return replace(sealed_failure(result, codec), output=_sealed_output(result.output, codec))
        case _:
            return result


def _sealed_output(output: JsonObject | None, codec: Codec) -> JsonObject | None:
    try:
        return output and codec.sealed_fields(output)
    except (TypeError, ValueError, RecursionError):
        return output  # it has no JSON form: it is refused, and nothing of it is stored


def _result(node: plans_pb2.PlanNode, redaction: Redaction, result: Result) -> Result:
    match result:
        case Succeeded():
            result.output = _output(node, redaction, result.output)
            return result
        case Failed():
            output = _output(node, redaction, result.output)
            return replace(result, message=redaction.text(result.message), output=output)
        case Asked():
            return result  # what is asked goes out without it already
        case _:
            return replace(result, message=redaction.text(result.message))


def _output(node: plans_pb2.PlanNode, redaction: Redaction, output: JsonObject | None) -> JsonObject | None:
    """An output without what its node declares, and then without what is known: a part of that may stand elsewhere in it."""
    try:
        check_levels(output)
    except TooDeep:
        return output  # it is refused, and nothing of it is stored
    found: Any = output
    for declared in node.sensitive:
        for _, value in fields(found, declared.keys):
            if isinstance(value, str) and len(value) >= FEWEST_CHARACTERS and value != MARK:
                redaction.add(value)
        found = replaced(found, declared.keys, lambda _: MARK)
    redacted: JsonObject | None = redaction.value(found)
    return redacted

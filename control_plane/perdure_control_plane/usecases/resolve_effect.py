"""Settles an effect in doubt, as an operator says."""

import hashlib
import math
from dataclasses import dataclass

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.instances import Instance
from perdure.v1 import fact_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.audit import Act, of_content, of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import (
    EffectMayRun,
    NotInDoubt,
    ReportUnseen,
    TooLarge,
    field_invalid,
)
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.limits import SECOND, Limits, Timing
from perdure_control_plane.domain.origin import requested_by
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.fold_run import FoldedRun, fold, fold_run
from perdure_control_plane.usecases.json_objects import json_object
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.readings.retry_time import retry_at
from perdure_control_plane.usecases.request_ids import is_repetition


@dataclass(frozen=True, slots=True)
class Resolution:
    """What an operator says about an attempt in doubt, and the last report they have seen about it."""

    run_id: RunId
    instance: Instance
    kind: fact_events_pb2.ResolutionKind.ValueType
    output: bytes
    report_sequence: int
    reason: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large an answer may be, and how long a lost executor may go on."""

    limits: Limits
    timing: Timing


async def resolve_effect(store: Store, bounds: Bounds, caller: Caller, asked: Resolution) -> Run:
    """Records the answer; the run goes on when no other doubt or hold is left.

    Raises FieldInvalid, TooLarge, NotFound, NotInDoubt, ReportUnseen, EffectMayRun, RequestIdReused.
    """
    _check_output(asked, bounds.limits)
    folded = await fold_run(store, asked.run_id)

    def body(tx: Transaction) -> Run:
        run = tx.runs.lock(asked.run_id)
        content = (str(asked.instance), asked.kind, asked.output, asked.report_sequence, asked.reason)
        if is_repetition(tx, caller, asked.request_id, "ResolveEffect", run.name, *content):
            return run
        # Another branch may have gone on since; nobody moves the run any more.
        now = folded if run.head.last_sequence == folded.run.head.last_sequence else fold(tx, asked.run_id)
        _check_in_doubt(now, asked)
        _check_is_over(tx, bounds.timing, now, asked)
        resolved = tx.log.append(run, _events(asked), requested_by(caller))
        tx.audit.record(Act(AuditType.EFFECT_RESOLVED, caller, run.name, asked.request_id, _details(asked)))
        return resolved

    return await store.write(body, Order.GUARDED)


def _details(asked: Resolution) -> dict[AuditDetail, str]:
    kind = fact_events_pb2.ResolutionKind.Name(asked.kind).removeprefix("RESOLUTION_KIND_")
    about = {AuditDetail.INSTANCE: str(asked.instance), AuditDetail.RESOLUTION: kind}
    return {**about, **of_reason(asked.reason), **of_content(asked.output)}


def _check_output(asked: Resolution, limits: Limits) -> None:
    if asked.kind == fact_events_pb2.RESOLUTION_KIND_UNSPECIFIED:
        raise field_invalid("resolution", "is one of DONE, RETRY and FAILED")
    if asked.output and asked.kind != fact_events_pb2.RESOLUTION_KIND_DONE:
        raise field_invalid("output", "goes with DONE only")
    if len(asked.output) > limits.max_payload_bytes:
        raise TooLarge("output", len(asked.output), limits.max_payload_bytes)
    json_object(asked.output, "output")


def _check_in_doubt(folded: FoldedRun, asked: Resolution) -> None:
    doubt = folded.walk.doubts.get(asked.instance)
    if doubt is None or doubt.resolution_sequence:
        raise NotInDoubt(folded.run.name, str(asked.instance))
    if doubt.report_sequence != asked.report_sequence:
        raise ReportUnseen(folded.run.name, str(asked.instance), doubt.report_sequence)


def _check_is_over(tx: Transaction, timing: Timing, folded: FoldedRun, asked: Resolution) -> None:
    # After a failure, too, the effect may be done again: by a jump back, or when somebody continues the run.
    if asked.kind == fact_events_pb2.RESOLUTION_KIND_DONE:
        return
    wait = retry_at(tx, timing, folded, folded.walk.doubts[asked.instance]) - tx.now
    if wait > 0:
        raise EffectMayRun(folded.run.name, str(asked.instance), math.ceil(wait / SECOND))


def _events(asked: Resolution) -> list[RunEvent]:
    where = asked.instance.message()
    resolution = fact_events_pb2.EffectResolution(
        kind=asked.kind, report_sequence=asked.report_sequence, reason=asked.reason
    )
    events = []
    if asked.kind == fact_events_pb2.RESOLUTION_KIND_DONE:
        output = asked.output or b"{}"
        resolution.output_digest = hashlib.sha256(output).digest()
        events.append(RunEvent(fact_content=fact_events_pb2.FactContent(instance=where, json=output)))
    recorded = fact_events_pb2.FactRecorded(instance=where, resolution=resolution)
    return [*events, RunEvent(fact_recorded=recorded)]

"""Sends a signal to a run."""

import hashlib
from dataclasses import dataclass

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.json_objects import JsonObject
from perdure.runlog.plans import every_node
from perdure.v1 import fact_events_pb2, plans_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.audit import Act, of_content
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import InboxFull, TooLarge, field_invalid
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.domain.origin import requested_by
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.fold_run import plan_of
from perdure_control_plane.usecases.json_objects import check_schema, json_object
from perdure_control_plane.usecases.pause_run import check_not_over
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


@dataclass(frozen=True, slots=True)
class Signalling:
    """A signal, and the run that it is for."""

    run_id: RunId
    signal: str
    payload: bytes
    request_id: str


async def signal_run(store: Store, limits: Limits, caller: Caller, asked: Signalling) -> Run:
    """Records the signal. A run that waits for it goes on; any other keeps it until a wait for its name takes it.

    Raises FieldInvalid, TooLarge, NotFound, DataCorrupt, RunStateForbids, InboxFull, RequestIdReused, Conflict.
    """
    if len(asked.payload) > limits.max_payload_bytes:
        raise TooLarge("payload", len(asked.payload), limits.max_payload_bytes)
    value = json_object(asked.payload, "payload")
    waits = await store.read(lambda tx: _waits_for(tx, asked))
    _check_payload(waits, value)

    def body(tx: Transaction) -> Run:
        run = tx.runs.lock(asked.run_id)
        if is_repetition(tx, caller, asked.request_id, "SignalRun", run.name, asked.signal, asked.payload):
            return run
        check_not_over(run)
        if tx.inbox.count_signals(run.run_id) >= limits.max_kept_signals:
            raise InboxFull(run.name, limits.max_kept_signals)
        signalled = tx.log.append(run, _events(tx, asked), requested_by(caller))
        details = {AuditDetail.SIGNAL: asked.signal, **of_content(asked.payload)}
        tx.audit.record(Act(AuditType.RUN_SIGNALLED, caller, run.name, asked.request_id, details))
        return signalled

    return await store.write(body, Order.GUARDED)


def _waits_for(tx: Transaction, asked: Signalling) -> list[plans_pb2.WaitNode]:
    """The nodes of the run's plan that wait for a signal of that name; the plan never changes."""
    nodes = [node.wait for node in every_node(plan_of(tx, tx.runs.get(asked.run_id)).message)]
    found = [node for node in nodes if node.signal == asked.signal]
    if not found:
        known = ", ".join(dict.fromkeys(node.signal for node in nodes if node.signal)) or "no signal"
        raise field_invalid("signal", f"is {asked.signal!r}; the run's plan waits for {known}")
    return found


def _check_payload(waits: list[plans_pb2.WaitNode], value: JsonObject) -> None:
    for schema in dict.fromkeys(node.payload_schema for node in waits if node.payload_schema):
        check_schema(schema, value, "payload")


def _events(tx: Transaction, asked: Signalling) -> list[RunEvent]:
    payload = asked.payload or b"{}"
    signal = fact_events_pb2.Signal(
        name=asked.signal,
        payload_digest=hashlib.sha256(payload).digest(),
        awaited=tx.inbox.awaits_signal(asked.run_id, asked.signal),
    )
    content = fact_events_pb2.FactContent(json=payload)
    return [RunEvent(fact_content=content), RunEvent(fact_recorded=fact_events_pb2.FactRecorded(signal=signal))]

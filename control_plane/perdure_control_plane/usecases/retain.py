"""Deletes flows that ended long ago, bit by bit: no commit waits for more than a few of them."""

from collections.abc import Awaitable, Callable
from typing import Final

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.states import RunState
from perdure_control_plane.domain.audit import RETAINING, Act
from perdure_control_plane.domain.flow import is_settled
from perdure_control_plane.domain.ids import FlowId
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.retention import Retained
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.ports import Store, Transaction

FLOWS_AT_ONCE: Final = 200
"""Flows that a look takes up."""

FLOWS_A_COMMIT: Final = 10
EVENTS_A_COMMIT: Final = 250
BYTES_A_COMMIT: Final = 1024 * 1024
PAYLOADS_A_COMMIT: Final = 10

KEEP_DELETIONS: Final = 400 * 24 * 3600 * SECOND
"""So long it is known of a flow or run that it was deleted."""


async def retain(store: Store, age: int, rest: Callable[[], Awaitable[None]]) -> Retained:
    """Looks once, and deletes flows that have been settled for longer than an age, in microseconds, with their runs.

    Any server may, at any time: each deletion looks again, in its own transaction, whether the flow is still settled.
    `rest` is awaited between two commits, so that others get theirs.
    """
    due = await store.read(lambda tx: tx.retention.due(tx.now - age, FLOWS_AT_ONCE))
    flows = runs = events = 0
    for begin in range(0, len(due), FLOWS_A_COMMIT):
        some = due[begin : begin + FLOWS_A_COMMIT]
        deleted = await store.write(lambda tx, some=some: [_delete(tx, flow_id, age) for flow_id in some])  # type: ignore[misc]  # default binds now
        flows += sum(1 for count in deleted if count)
        runs += sum(deleted)
        await rest()
    while purged := await store.write(lambda tx: tx.retention.purge(EVENTS_A_COMMIT, BYTES_A_COMMIT)):
        events += purged
        await rest()
    payloads = await _collect(store, rest)
    await store.write(lambda tx: tx.retention.forget(tx.now - KEEP_DELETIONS))
    return Retained(flows, runs, events, payloads)


def _delete(tx: Transaction, flow_id: FlowId, age: int) -> int:
    """Deletes a flow where it is settled still; how many runs that were."""
    flow, runs = tx.flows.find(flow_id), tx.runs.of_flow(flow_id)
    if flow is None or not is_settled(runs) or not all(_may_go(run, tx.now - age) for run in runs):
        return 0
    tx.retention.delete(flow, runs, tx.now)
    details = {AuditDetail.COUNT: str(len(runs))}
    tx.audit.record(Act(AuditType.RETENTION_DELETED, RETAINING, flow.name, details=details))
    return len(runs)


async def _collect(store: Store, rest: Callable[[], Awaitable[None]]) -> int:
    """Deletes payloads that no event names any more; how many. What is named again meanwhile is found by the deletion."""
    collected = 0
    while digests := await store.read(lambda tx: tx.retention.unreachable(PAYLOADS_A_COMMIT)):
        gone = await store.write(lambda tx, digests=digests: tx.retention.collect(digests))  # type: ignore[misc]  # default binds now
        if not gone:
            break
        collected += gone
        await rest()
    return collected


def _may_go(run: Run, ended_before: int) -> bool:
    head = run.head
    return head.ended_at < ended_before and not head.in_doubt and head.state is not RunState.MOVED

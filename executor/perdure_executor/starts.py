"""The events with which an attempt begins."""

import hashlib

from perdure.runlog.intents import Start
from perdure.v1 import approval_facts_pb2, node_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor.node_context import Ask, Mapped, Prepared, Work


def started(start: Start, prepared: Prepared, digest: bytes) -> RunEvent:
    """Says that an attempt begins. `digest` is of what it is called with; empty where that is nothing."""
    # Filled in place: a message that is given to another one's constructor is copied there.
    event = RunEvent()
    started = event.node_started
    started.instance.CopyFrom(start.instance.message())
    started.effect, started.redo = start.node.effect, start.redo
    if digest:
        started.arguments_digest = digest
    if start.resolution_sequence:
        started.resolution_sequence = start.resolution_sequence
    if isinstance(prepared, Work) and prepared.command:
        started.command = prepared.command
    return event


def waiting(start: Start, asked: Ask) -> list[RunEvent]:
    """Says that an attempt waits, and what a person is shown."""
    opened = RunEvent(wait_opened=asked.wait)
    if not asked.subject:
        return [opened]
    subject = approval_facts_pb2.WaitSubject(instance=start.instance.message(), canonical_json=asked.subject)
    return [RunEvent(wait_subject=subject), opened]


def mapping(start: Start, mapped: Mapped) -> list[RunEvent]:
    """Says what a map is over, and that it begins."""
    where, digest = start.instance.message(), hashlib.sha256(mapped.items).digest()
    begun = node_events_pb2.MapBegun(
        instance=where,
        count=mapped.count,
        items_digest=digest,
        shard_size=mapped.shard_size,
        first_item=mapped.first,
        done=mapped.done,
        redos=mapped.redos,
    )
    items = node_events_pb2.MapItems(instance=where, json=mapped.items)
    return [RunEvent(map_items=items), RunEvent(map_begun=begun)]

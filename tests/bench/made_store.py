"""A store with as many events as wanted: logs that an executor might have written, appended by the storage layer itself."""

import hashlib
import json
import pathlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from perdure.runlog import FOLD_VERSION
from perdure.runlog.instances import Instance, Step
from perdure.runlog.json_objects import json_bytes
from perdure.v1 import instances_pb2, node_events_pb2, run_events_pb2, run_states_pb2
from perdure.v1.execution_pb2 import EventBatch
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.api.work.incoming import read_batch
from perdure_control_plane.domain.admission import Ack
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.ids import RunId, SessionId
from perdure_control_plane.domain.origin import CLAIM
from perdure_control_plane.storage.sqlite import SqliteStore
from perdure_control_plane.storage.unit_of_work import SqlTransaction
from perdure_control_plane.usecases.create_playbook_version import create_playbook_version
from perdure_control_plane.usecases.create_session import create_session

NODES: Final = 10
RUNS_AT_ONCE: Final = 30
LINES_AT_ONCE: Final = 200
EFFECT: Final = instances_pb2.EFFECT_AT_MOST_ONCE
OUTPUT: Final = json_bytes({"said": "hello", "count": 7})


@dataclass(frozen=True)
class Shape:
    """`runs` runs of ten nodes with an output each, the last of which says so many `lines`."""

    runs: int
    lines: int = 0

    @property
    def events(self) -> int:
        """How many events they are in all."""
        return self.runs * (3 * NODES + 3 + self.lines)


async def make_store(directory: pathlib.Path, *shapes: Shape) -> SqliteStore:
    """Makes the store; it is open."""
    store = SqliteStore(directory, lambda: time.time_ns() // 1000)
    await store.open()
    version = await create_playbook_version(store, OPEN_CALLER, _manifest(), "")
    await create_session(store, OPEN_CALLER, SessionId("bench"), "")
    number = 0
    for shape in shapes:
        for first in range(0, shape.runs, RUNS_AT_ONCE):
            runs = [run_id(number + run) for run in range(first, min(first + RUNS_AT_ONCE, shape.runs))]
            await store.write(lambda tx, runs=runs: _begin(tx, runs, version.plan_digest))  # type: ignore[misc]  # default binds now
            for ordinal, events in _batches(shape):
                await store.write(
                    lambda tx, runs=runs, ordinal=ordinal, events=events: _append(tx, runs, ordinal, events)
                )  # type: ignore[misc]  # default binds now
        number += shape.runs
    return store


def run_id(number: int) -> RunId:
    """The id of a run by its number."""
    return RunId(f"01a1fe94-fa7e-72c3-9f24-{number:012x}")


def _manifest() -> bytes:
    nodes = [{"id": f"n{node}", "type": "function", "function": "noop"} for node in range(NODES)]
    return json.dumps(
        {"playbook_id": "bench", "version": "1.0.0", "title": "Bench", "objective": "Measure", "nodes": nodes}
    ).encode()


def _begin(tx: SqlTransaction, runs: Sequence[RunId], plan_digest: bytes) -> None:
    for run in runs:
        created = run_events_pb2.RunCreated(
            flow_id=run,
            session_id="bench",
            agent_id="bench",
            lineage=instances_pb2.Lineage(lineage_id=run),
            plan_digest=plan_digest,
            fold_version=FOLD_VERSION,
            term=1,
            queue="default",
            starter="bench",
            playbook_id="bench",
            playbook_version="1.0.0",
        )
        begun = tx.log.create(run, [RunEvent(run_created=created)], CLAIM)
        grant = run_events_pb2.LeaseGranted(
            lease_id=f"lease-{run}", epoch=1, executor_id="x", incarnation="x", generation=1
        )
        tx.log.append(begun, [RunEvent(lease_granted=grant)], CLAIM)


def _batches(shape: Shape) -> Iterator[tuple[int, list[RunEvent]]]:
    ordinal, batch = 1, list[RunEvent]()
    for event in _events(shape):
        batch.append(event)
        if len(batch) == LINES_AT_ONCE or event.HasField("run_ended"):
            yield ordinal, batch
            ordinal, batch = ordinal + len(batch), []


def _events(shape: Shape) -> Iterator[RunEvent]:
    for node in range(NODES):
        where = Instance((Step(f"n{node}", 1),), 1).message()
        yield RunEvent(node_started=node_events_pb2.NodeStarted(instance=where, effect=EFFECT))
        for line in range(shape.lines if node == NODES - 1 else 0):
            yield RunEvent(log_line=run_events_pb2.LogLine(instance=where, text=f"line {line} of what it has to say"))
        yield RunEvent(node_output=node_events_pb2.NodeOutput(instance=where, json=OUTPUT))
        settled = node_events_pb2.NodeSettled(
            instance=where,
            effect=EFFECT,
            outcome=instances_pb2.OUTCOME_SUCCEEDED,
            output_digest=hashlib.sha256(OUTPUT).digest(),
        )
        yield RunEvent(node_settled=settled)
    yield RunEvent(run_ended=run_events_pb2.RunEnded(state=run_states_pb2.RUN_STATE_COMPLETED))


def _append(tx: SqlTransaction, runs: Sequence[RunId], ordinal: int, events: Sequence[RunEvent]) -> None:
    messages = [
        EventBatch(run_id=run, lease_id=f"lease-{run}", tail=0, first_ordinal=ordinal, seen=0, events=events)
        for run in runs
    ]
    appended = tx.journal.append([read_batch(message, 1 << 20) for message in messages], tx.now)
    assert all(isinstance(answer, Ack) for answer in appended.answers), appended.answers

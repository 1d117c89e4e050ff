"""Checks runs against the runs they have started: what each says of the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from perdure.runlog.checker import LogChecker, Violation
from perdure.runlog.effects import child_run_id
from perdure.runlog.instances import instance
from perdure.runlog.rules import Rule
from perdure.runlog.states import TERMINAL, RunState
from perdure.v1 import fact_events_pb2, run_events_pb2


@dataclass(frozen=True, slots=True)
class Kin:
    """What of a run's log is about its parent and its children."""

    run_id: str
    state: RunState
    last_sequence: int
    ended_sequence: int
    created: run_events_pb2.RunCreated
    children: dict[str, fact_events_pb2.ChildStarted]
    told: list[fact_events_pb2.ChildEnded]
    heeded: list[fact_events_pb2.ChildEnded]
    ends: dict[int, run_events_pb2.RunEnded]


class Tree:
    """Takes runs whose logs are checked, one after the other, and keeps what they say of each other."""

    def __init__(self) -> None:
        self._kin: Final[dict[str, Kin]] = {}

    def add(self, checker: LogChecker) -> None:
        """Takes a run whose log was checked whole. One without relatives is not kept."""
        created, head = checker.created, checker.head
        if created is not None and (checker.children or created.lineage.parent_run_id):
            about = (checker.run_id, head.state, head.last_sequence, head.ended_sequence, created)
            said = (checker.children, checker.told, checker.heeded, checker.ends)
            self._kin[checker.run_id] = Kin(*about, *said)

    def violations(self, *, at_rest: bool) -> Iterator[Violation]:
        """What is wrong between these runs. Relatives that are not among them are not missed.

        `at_rest` says that all logs were read at one moment, in which no run had anything to tell another.
        """
        for kin in self._kin.values():
            yield from self._of_parent(kin, at_rest=at_rest)
            yield from self._of_child(kin, at_rest=at_rest)

    def _of_parent(self, parent: Kin, *, at_rest: bool) -> Iterator[Violation]:
        for child_id, started in parent.children.items():
            if child_id != child_run_id(parent.run_id, instance(started.instance)):
                yield _violation(parent, 0, f"{child_id} is not the id that a child has there")
            child = self._kin.get(child_id)
            if at_rest and child is not None and parent.state in TERMINAL and child.state not in TERMINAL:
                message = f"runs/{child_id} is {child.state} under its parent, which is {parent.state}"
                yield _violation(parent, parent.ended_sequence, message)
        counted = set[tuple[str, int]]()
        for heeded in parent.heeded:
            end = (heeded.run_id, heeded.ended_sequence)
            if end in counted:
                yield _violation(parent, 0, f"the end {heeded.run_id}@{heeded.ended_sequence} counts twice")
            counted.add(end)
        for told in parent.told:
            yield from self._of_telling(parent, told)

    def _of_telling(self, parent: Kin, told: fact_events_pb2.ChildEnded) -> Iterator[Violation]:
        child = self._kin.get(told.run_id)
        if child is None or told.ended_sequence > child.last_sequence:
            return
        end = child.ends.get(told.ended_sequence, run_events_pb2.RunEnded())
        if (end.state, end.cause, end.output_digest) != (told.state, told.cause, told.output_digest):
            message = f"it was told of an end {told.run_id}@{told.ended_sequence} that is not in that log"
            yield _violation(parent, 0, message)

    def _of_child(self, child: Kin, *, at_rest: bool) -> Iterator[Violation]:
        lineage = child.created.lineage
        parent = self._kin.get(lineage.parent_run_id)
        if parent is None:
            return
        started = parent.children.get(child.run_id)
        if started is None:
            if at_rest:
                yield _violation(child, 1, f"runs/{parent.run_id} has not started it")
            return
        if not _as_started(parent.created, started, child.created):
            yield _violation(child, 1, "it was created otherwise than its parent says")


def _as_started(
    parent: run_events_pb2.RunCreated, started: fact_events_pb2.ChildStarted, child: run_events_pb2.RunCreated
) -> bool:
    """Whether a child was created as its parent says."""
    line = parent.lineage
    prefix = line.prefix if started.part else started.instance.path
    redos = line.prefix_redos if started.part else [*line.prefix_redos, 0]
    part = child.part
    if started.part:
        shard = started.shard if started.HasField("shard") else None
        part = run_events_pb2.RunPart(instance=started.instance, redo=started.redo, shard=shard)
    limit = started.timeout if started.HasField("timeout") else child.timeout
    said = (child.lineage.lineage_id, child.lineage.prefix, child.lineage.prefix_redos, child.plan_digest)
    due = (line.lineage_id, prefix, redos, started.plan_digest)
    more = (child.input_digest, child.queue, child.HasField("part"), child.part, child.timeout)
    return (
        said == due
        and more == (started.input_digest, started.queue or parent.queue, started.part, part, limit)
        and {*parent.labels, *started.labels} <= {*child.labels}
    )


def _violation(kin: Kin, sequence: int, message: str) -> Violation:
    return Violation(Rule.TREE, kin.run_id, sequence, message)

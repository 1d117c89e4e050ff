"""What must hold of children, of failures, of contracts and of labels, read from the logs without the interpreter."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from perdure.runlog.checker import LogChecker, Violation
from perdure.runlog.instances import Instance, instance
from perdure.runlog.rules import Rule
from perdure.runlog.states import RunState
from perdure.runlog.tree import Tree
from perdure.v1 import instances_pb2, plans_pb2, run_states_pb2
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.domain.run import Run
from tests.simulation.executors import labels_of
from tests.simulation.record import Record

NOT_KEPT: Final = {
    instances_pb2.FAILURE_CAUSE_ENSURES_NOT_MET: "promise not kept",
    instances_pb2.FAILURE_CAUSE_REQUIRES_NOT_MET: "contract not met",
}


def related(checkers: Mapping[str, LogChecker]) -> list[Violation]:
    """What is wrong between parents and children, now that nobody has anything left to tell another."""
    tree = Tree()
    for checker in checkers.values():
        tree.add(checker)
    found = list(tree.violations(at_rest=True))
    for parent in checkers.values():
        for child_id in parent.children:
            if child_id not in checkers:
                found.append(
                    Violation(Rule.TREE, parent.run_id, 0, f"{child_id} is said to have begun, and is not there")
                )
                continue
            told = [end for end in parent.told if end.run_id == child_id]
            for sequence, end in checkers[child_id].ends.items():
                if end.state == run_states_pb2.RUN_STATE_INTERRUPTED:
                    continue  # it goes on again, and is waited for
                # Told to a parent that has ended it is kept, and told again where that is continued.
                stale = [one.stale for one in told if one.ended_sequence == sequence]
                if not stale or sum(stale) > 1:
                    message = f"the end {child_id}@{sequence} was told {len(stale)} times, {sum(stale)} too late"
                    found.append(Violation(Rule.TREE, parent.run_id, 0, message))
    return found


def broken_laws(run: Run, checker: LogChecker, events: Sequence[RecordedEvent], record: Record) -> Iterator[str]:
    """What is wrong with one run, in words; notes what was met on the way."""
    _note(run, checker, events, record)
    yield from _of_failures(run, events)
    yield from _of_promises(run, checker, events)
    yield from _of_labels(run, events)


def _note(run: Run, checker: LogChecker, events: Sequence[RecordedEvent], record: Record) -> None:
    hits = record.hits
    hits["child begun"] += len(checker.children)
    hits["child's end told"] += sum(not told.stale for told in checker.told)
    hits["child's end told too late"] += sum(told.stale for told in checker.told)
    hits["label asked for"] += bool(run.identity.labels)
    hits["part begun"] += bool(run.identity.part_instance)
    hits["shard begun"] += events[0].event.run_created.part.HasField("shard")
    for recorded in events:
        event = recorded.event
        hits["failure taken"] += event.HasField("failure_taken")
        hits["back-off waited for"] += event.wait_opened.HasField("backoff")
        if event.node_settled.cause in NOT_KEPT:
            hits[NOT_KEPT[event.node_settled.cause]] += 1


def _of_failures(run: Run, events: Sequence[RecordedEvent]) -> Iterator[str]:
    """No failure disappears: in a run that has completed each was tried again, went back, or was taken, once."""
    taken, last = Counter[Instance](), dict[str, tuple[Instance, bool]]()
    gone_back = set[str]()
    for recorded in events:
        event = recorded.event
        match event.WhichOneof("kind"):
            case "node_started":
                where = instance(event.node_started.instance)
                last[where.node] = (where, False)
            case "node_settled":
                where = instance(event.node_settled.instance)
                last[where.node] = (where, event.node_settled.outcome == instances_pb2.OUTCOME_FAILED)
            case "failure_taken":
                taken[instance(event.failure_taken.instance)] += 1
            case "jump_begun":
                gone_back |= {node for node, (_, failed) in last.items() if failed}
    yield from (f"run {run.run_id}: the failure of {where} was taken {n} times" for where, n in taken.items() if n > 1)
    if run.head.state is RunState.COMPLETED:
        for where, failed in last.values():
            if failed and not taken[where] and where.node not in gone_back:
                yield f"run {run.run_id}: {where} failed, nobody took it, and the run has completed"


def _of_promises(run: Run, checker: LogChecker, events: Sequence[RecordedEvent]) -> Iterator[str]:
    """What succeeded by its own work has left what it promised."""
    outputs: dict[Instance, dict[str, object]] = {}
    nodes = checker.walk.plan.nodes
    for recorded in events:
        event = recorded.event
        if event.HasField("node_output"):
            outputs[instance(event.node_output.instance)] = json.loads(event.node_output.json)
        elif event.HasField("node_settled") and not event.node_settled.resolution_sequence:
            where = instance(event.node_settled.instance)
            if event.node_settled.outcome == instances_pb2.OUTCOME_SUCCEEDED:
                yield from _unkept(run, where, nodes[where.node].ensures, outputs.get(where, {}))


def _unkept(run: Run, where: Instance, ensures: plans_pb2.Promises, output: dict[str, object]) -> Iterator[str]:
    if ensures.schema:
        most, value = json.loads(ensures.schema)["properties"]["value"]["maximum"], output.get("value")
        if not isinstance(value, int) or value > most:
            yield f"run {run.run_id}: {where} succeeded with {value}, and promised no more than {most}"


def _of_labels(run: Run, events: Sequence[RecordedEvent]) -> Iterator[str]:
    for recorded in events:
        granted = recorded.event.lease_granted
        if granted.executor_id and not set(run.identity.labels) <= set(labels_of(granted.executor_id)):
            yield f"run {run.run_id}@{recorded.sequence}: {granted.executor_id} has not the labels {run.identity.labels}"

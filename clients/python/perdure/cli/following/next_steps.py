"""The commands to type next: what a run that stands still needs, and how one that ended badly can go on."""

from collections.abc import Iterator

from perdure.cli.deciding import command_to_pass
from perdure.cli.following.node_story import NodeStory, Stage
from perdure.cli.following.story import RunStory, Story
from perdure.cli.printing.words import one_line
from perdure.runlog.head import Hold
from perdure.runlog.states import CONTINUABLE
from perdure.v1 import instances_pb2
from perdure.v1.flows_pb2 import Flow


def next_steps(story: Story) -> list[str]:
    """One line for each thing that somebody has to do: what it is about, and the command."""
    return [*_of_flow(story.flow), *(step for run in story.runs.values() for step in _of_run(run))]


def _of_flow(flow: Flow | None) -> Iterator[str]:
    if flow is not None and flow.failure_cause == instances_pb2.FAILURE_CAUSE_CONTRACT_NOT_MET:
        missing = [check.evidence for check in flow.contract.checks if not check.passed]
        named = ", ".join(one_line(f"{evidence.kind} {evidence.id}") for evidence in missing)
        yield f"failed: required evidence is missing: {named}"


def _of_run(run: RunStory) -> Iterator[str]:
    look = f"perdure runs recovery {run.run_id}"
    if run.head.in_doubt:
        yield f"nobody knows whether {', '.join(run.doubts)} happened: {look}"
    elif run.head.holds & ~Hold.OPERATOR:
        yield f"it is held: {look}"
    if run.head.holds & Hold.OPERATOR and not run.head.ended_sequence:
        yield f"it is {one_line(run.paused)}: perdure runs resume {run.run_id}"
    if run.head.ended_sequence:
        if run.head.state in CONTINUABLE:
            yield f"it can be continued: {look}"
        yield from (_output(run, node) for node in run.nodes.values() if str(node.where) == run.head.failed_instance)
        return
    for node in run.nodes.values():
        if node.stage is Stage.WAITING and node.approval:
            waits = "waits for an answer" if node.asks else "waits for a decision"
            yield f"{node.where} {waits}: {command_to_pass(node.approval, node.allowed)}"
        elif node.stage is Stage.WAITING and node.signal:
            yield f"{node.where} waits for a signal: perdure runs signal {run.run_id} {node.signal}"


def _output(run: RunStory, node: NodeStory) -> str:
    if not node.task:
        return f"{node.where} failed: perdure runs events {run.run_id}"
    if not node.has_printed:
        return f"{node.where} failed: perdure tasks get {run.session_id} {node.task}"
    return f"{node.where} printed: perdure tasks output {run.session_id} {node.task}"

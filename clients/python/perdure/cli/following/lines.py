"""What is followed as plain lines, one for each thing that happened: for logs, pipes and dumb terminals."""

from collections.abc import Iterator

from perdure.cli.durations import short_duration
from perdure.cli.following.next_steps import next_steps
from perdure.cli.following.node_story import NodeStory, Stage, tail
from perdure.cli.following.signs import note, stage_word, state_word, status_word
from perdure.cli.following.story import RunStory, Story, by
from perdure.cli.printing.words import at, because, enum_word, one_line
from perdure.runlog.instances import instance
from perdure.v1 import fact_events_pb2
from perdure.v1.flows_pb2 import Flow
from perdure.v1.node_events_pb2 import FailureTaken
from perdure.v1.run_events_pb2 import RecordedEvent


def lines(story: Story, news: Flow | RecordedEvent) -> Iterator[str]:
    """The lines for a piece of news that the story has taken in already."""
    if isinstance(news, Flow):
        yield f"{news.name}: {status_word(news)}"
        yield from next_steps(story)
        return
    moment = f"{at(news.stored_time):%H:%M:%SZ}"
    for line in _of_event(story.runs[news.run_id], news):
        yield f"{moment} {line}"
    waits = story.flow is not None and story.flow.status == Flow.STATUS_WAITING
    if (story.alone or waits) and _has_come_to_stand(story, news):
        yield from next_steps(story)


def _has_come_to_stand(story: Story, news: RecordedEvent) -> bool:
    """Whether the run stands still as of this event, and not only in what is told of its history."""
    run = story.runs[news.run_id]
    return run.stands if news.sequence == story.known else run.came_to_stand and news.sequence > story.known


def _of_event(run: RunStory, recorded: RecordedEvent) -> Iterator[str]:
    event = recorded.event
    match event.WhichOneof("kind"):
        case "run_created":
            yield f"run {run.run_id} is queued"
        case "wait_closed" if run.nodes[instance(event.wait_closed.instance)].backs_off:
            return
        case "node_settled" if event.node_settled.HasField("question"):
            return  # the wait for its answer follows, and says what it asks
        case "node_started" | "node_settled" | "node_in_doubt" | "wait_closed" as kind:
            yield from _of_node(run.nodes[instance(getattr(event, kind).instance)])
        case "wait_opened" if not event.wait_opened.HasField("backoff"):
            node = run.nodes[instance(event.wait_opened.instance)]
            waits = "asks" if node.asks else "waits for a decision"
            yield f"{node.where} {waits}: {note(node)}" if node.approval else f"{node.where} waits {note(node)}"
        case "child_started":
            started = event.child_started
            yield f"{run.nodes[instance(started.instance)].where} {_of_child(started)}"
        case "fact_recorded" if event.fact_recorded.HasField("instance"):
            node = run.nodes[instance(event.fact_recorded.instance)]
            yield f"{node.where} {note(node)}"
        case "fact_recorded":
            yield from _of_run(event.fact_recorded, by(recorded))
        case "lease_revoked":
            held = f"; {', '.join(run.doubts)} is in doubt, and the run is held" if run.head.in_doubt else ""
            yield f"the executor was lost{held}"
        case "map_begun":
            node = run.nodes[instance(event.map_begun.instance)]
            yield f"{node.where} {note(node)}"
        case "approval_voided":
            node = run.nodes[instance(event.approval_voided.instance)]
            yield f"{node.where} is void: {note(node)}"
        case "choice_made":
            node = run.nodes[instance(event.choice_made.instance)]
            yield f"{node.where} {'failed: ' if event.choice_made.cause else ''}{note(node)}"
        case "failure_taken":
            yield f"{instance(event.failure_taken.instance)} {_of_taking(event.failure_taken)}"
        case "jump_begun":
            yield f"goes back to {event.jump_begun.target}"
        case "stop_requested":
            yield one_line(because(f"asked to stop{by(recorded)}", event.stop_requested.reason))
        case "run_continued":
            yield one_line(because(f"the run goes on, continued{by(recorded)}", event.run_continued.reason))
        case "run_ended":
            yield one_line(because(f"run {state_word(run.head.state)}{by(recorded)}", run.head.failure_message))
        case "log_line":
            yield one_line(event.log_line.text)


def _of_run(fact: fact_events_pb2.FactRecorded, by_whom: str) -> Iterator[str]:
    match fact.WhichOneof("fact"):
        case "signal":
            kept = "" if fact.signal.awaited else "; it is kept until something waits for it"
            yield f"the signal {fact.signal.name} has come{by_whom}{kept}"
        case "hold_placed":
            held = f"the run is held{by_whom} ({_cause(fact.hold_placed.cause)})"
            yield one_line(because(held, fact.hold_placed.reason))
        case "hold_released":
            released = f"the run is held no longer, released{by_whom}"
            yield one_line(because(f"{released} ({_cause(fact.hold_released.cause)})", fact.hold_released.reason))


def _cause(cause: fact_events_pb2.HoldCause.ValueType) -> str:
    return enum_word(fact_events_pb2.HoldCause.DESCRIPTOR, cause)


def _of_node(node: NodeStory) -> Iterator[str]:
    if node.stage is Stage.STARTED:
        yield f"{node.where} started {one_line(node.command)}".rstrip()
        return
    took = f" after {short_duration(node.ended_at - node.began_at)}" if node.ended_at is not None else ""
    yield f"{node.where} {stage_word(node)}{took}: {note(node)}".removesuffix(": ")
    if node.stage is Stage.FAILED:
        yield from (f"{node.where} | {line}" for line in tail(node))


def _of_child(started: fact_events_pb2.ChildStarted) -> str:
    queue = f" in the queue {started.queue}" if started.queue else ""
    if started.part:
        return f"is done by its part runs/{started.run_id}{queue}"
    return f"started runs/{started.run_id} of {started.playbook_id} {started.playbook_version}{queue}"


def _of_taking(taken: FailureTaken) -> str:
    return f"failed for good, and the run goes on with {taken.target or 'what comes after it'}"

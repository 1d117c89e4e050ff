"""`perdure runs why`: why a run does not go on, or what it does, and what there is to type."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from perdure.cli import names
from perdure.cli.connection import connected
from perdure.cli.options import Output, RunName
from perdure.cli.pausing import hold_step, hold_words
from perdure.cli.printing.formats import Format, print_one, print_rows
from perdure.cli.printing.words import age, because, counted, enum_word, one_line, rate_words
from perdure.client import Client
from perdure.v1.instances_pb2 import FailureCause
from perdure.v1.run_events_pb2 import StopKind
from perdure.v1.run_explanations_pb2 import LimitReached, RunExplanation, RunReason, Unserved
from perdure.v1.run_states_pb2 import RunState
from perdure.v1.runs_pb2 import ExplainRunRequest


def add_explaining_command(app: typer.Typer) -> None:
    """Adds the command to those of runs."""
    app.command("why")(explain_run)


@connected
async def explain_run(perdure: Client, run: RunName, output: Output = Format.TABLE) -> None:
    """Say why a run does not go on, or what it does: every reason, since when, and when it is looked at again.

    What there is to type about it is told on standard error.
    """
    found = await perdure.runs.ExplainRun(ExplainRunRequest(name=names.run(run)))
    if output is not Format.TABLE:
        print_one(found, output)
        return
    told, now = [tell(found, reason) for reason in found.reasons], datetime.now(UTC)
    rows = [[one.words, age(one.since, now), age(one.next_check, now)] for one in told]
    print_rows([f"{enum_word(RunState.DESCRIPTOR, found.state).upper()}, BECAUSE", "SINCE", "NEXT CHECK"], rows)
    for one in told:
        if one.step:
            typer.echo(one.step, err=True)


@dataclass(frozen=True, slots=True)
class Told:
    """A reason in words, and the command to type; empty where there is nothing to do."""

    words: str
    since: Timestamp
    next_check: Timestamp
    step: str = ""


def tell(found: RunExplanation, reason: RunReason) -> Told:
    """A reason for people. One of a kind that this program does not know is told as that."""
    kind = reason.WhichOneof("reason")
    if kind is None:
        return Told("something that this program does not know; use a newer one", Timestamp(), reason.next_check_time)
    words, since, step = _TELL[kind](getattr(reason, kind), names.bare(reason.part_run or found.run))
    words = f"its part {names.bare(reason.part_run)}: {words}" if reason.part_run else words
    return Told(one_line(words), since, reason.next_check_time, one_line(step))


_Words = tuple[str, Timestamp, str]


def _ended(end: Any, run: str) -> _Words:
    cause = enum_word(FailureCause.DESCRIPTOR, end.cause) if end.cause else ""
    words = because("it has ended", ": ".join(filter(None, (cause, end.message))))
    return words, end.end_time, f"it can be continued: perdure runs continue {run}" if end.can_continue else ""


def _stop(stop: Any, run: str) -> _Words:
    asked = f"asked to stop ({enum_word(StopKind.DESCRIPTOR, stop.kind)}) by {stop.actor}"
    return because(asked, stop.reason), stop.request_time, ""


def _in_doubt(effect: Any, run: str) -> _Words:
    words = f"nobody knows whether {effect.instance} happened"
    return words, effect.doubt_time, f"perdure runs resolve {run} '{effect.instance}' --as done|retry|failed"


def _hold(hold: Any, run: str) -> _Words:
    return hold_words(hold), hold.place_time, hold_step(hold, run)


def _decision(asked: Any, run: str) -> _Words:
    step = f"perdure approvals approve {names.bare(asked.approval)}"
    return f"{asked.instance} waits for a person to decide", asked.ask_time, step


def _time(waits: Any, run: str) -> _Words:
    return f"{waits.instance} waits for a moment", waits.open_time, ""


def _signal(waits: Any, run: str) -> _Words:
    words = f"{waits.instance} waits for the signal {waits.signal}"
    return words, waits.open_time, f"perdure runs signal {run} {waits.signal}"


def _child(child: Any, run: str) -> _Words:
    state = enum_word(RunState.DESCRIPTOR, child.state)
    words = f"{child.instance} waits for the end of {child.run}, which is {state}"
    return words, child.start_time, f"perdure runs why {names.bare(child.run)}"


def _next_attempt(attempt: Any, run: str) -> _Words:
    cause = enum_word(FailureCause.DESCRIPTOR, attempt.cause)
    words = f"{attempt.instance} begins after a back-off, as the attempt before it failed ({cause})"
    return because(words, attempt.message), attempt.failure_time, ""


def _limit(reached: Any, run: str) -> _Words:
    runs = [names.bare(other) for other in reached.runs]
    others = ", ".join(runs) + (", ..." if len(runs) < reached.count else "")
    step = f"perdure runs why {runs[0]}" if runs else ""
    match reached.limit:
        case LimitReached.LIMIT_CONCURRENCY_KEY:
            words = f"{reached.count} of at most {reached.value} of the key {reached.name} go on: {others}"
        case LimitReached.LIMIT_QUEUE_AT_WORK:
            words = f"{reached.count} of at most {reached.value} of its queue {reached.name} are at work: {others}"
            step = f"perdure queues get {reached.name}"
        case _:
            words = f"the rate of its queue {reached.name}, {rate_words(reached.value, reached.period)}, is used up"
            step = f"perdure queues get {reached.name}"
    return words, reached.ready_time, step


def _unserved(unserved: Any, run: str) -> _Words:
    start = f"perdure-server executor --queue {unserved.queue}"
    match unserved.lack:
        case Unserved.LACK_EXECUTOR:
            words = "no executor lives"
        case Unserved.LACK_QUEUE:
            words = f"no live executor serves its queue {unserved.queue}"
        case Unserved.LACK_PROVIDER:
            providers = ", ".join(unserved.providers)
            words = f"no live executor of its queue {unserved.queue} has the provider {providers}"
            start += "".join(f" --provider {provider}" for provider in unserved.providers)
        case Unserved.LACK_LABEL:
            labels = f"label{'s' * (len(unserved.labels) > 1)} {', '.join(unserved.labels)}"
            words = f"no live executor of its queue {unserved.queue} has the {labels}"
            start += "".join(f" --label {label}" for label in unserved.labels)
        case _:
            words = f"no live executor of its queue {unserved.queue} knows its rules, version {unserved.fold_version}"
    return words, unserved.ready_time, start


def _queue_place(place: Any, run: str) -> _Words:
    behind = f"{counted(place.ahead, 'run')} {'is' if place.ahead == 1 else 'are'} before it"
    taken = f"{place.taken_slots} of {counted(place.slots, 'slot')} taken"
    return f"waits in its queue {place.queue}: {behind}, {taken}", place.ready_time, "perdure runtime get"


def _under_way(work: Any, run: str) -> _Words:
    if not work.attempts:
        return f"executor {work.executor_id} has it, and nothing of it is under way", work.grant_time, ""
    attempts = ", ".join(attempt.instance for attempt in work.attempts)
    since = min((attempt.start_time for attempt in work.attempts), key=Timestamp.ToMicroseconds)
    return f"executor {work.executor_id} works on {attempts}", since, ""


_TELL: Final[dict[str, Callable[[Any, str], _Words]]] = {
    "ended": _ended,
    "stop_pending": _stop,
    "in_doubt": _in_doubt,
    "hold": _hold,
    "decision": _decision,
    "time": _time,
    "signal": _signal,
    "child": _child,
    "next_attempt": _next_attempt,
    "limit": _limit,
    "unserved": _unserved,
    "queue_place": _queue_place,
    "under_way": _under_way,
}

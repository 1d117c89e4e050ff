"""The checker: a sound log has nothing against it, and each way to bend one is noticed under its rule."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from perdure.runlog.checker import LogChecker
from perdure.runlog.rules import Rule
from perdure.runlog.witnesses import (
    Acknowledgement,
    Launch,
    compare_acknowledgements,
    compare_launches,
    read_acknowledgements,
    read_launches,
)
from perdure.v1 import (
    approval_facts_pb2,
    decisions_pb2,
    fact_events_pb2,
    instances_pb2,
    node_events_pb2,
    plans_pb2,
    run_events_pb2,
    runs_pb2,
)
from perdure.v1.run_events_pb2 import RecordedEvent

Log = list[RecordedEvent]
Bend = Callable[[Log], None]

GUARDED = instances_pb2.EFFECT_AT_MOST_ONCE


@pytest.fixture
def log(rehearse: Any, plans: Any, at: Any) -> Any:
    """A run with everything in it: a node, a gate that is approved, an effect that is lost and answered."""
    gate = plans.node("gate", approval=plans_pb2.ApprovalNode(prompt="?"))
    line = plans.line(plans.node("a"), gate, plans.node("publish", effect=GUARDED), plans.node("z"))
    run = rehearse(line, a=[(instances_pb2.OUTCOME_SUCCEEDED, 0, b'{"n":1}')]).go()
    approved = approval_facts_pb2.Decision(approval_id="gate:1#1", kind=decisions_pb2.DECISION_KIND_APPROVED)
    run.fact(at("gate"), decision=approved)
    run.lease().go(hold_work=True).lose()
    done = fact_events_pb2.EffectResolution(kind=fact_events_pb2.RESOLUTION_KIND_DONE)
    run.fact(at("publish"), resolution=done)
    run.lease().go()
    assert run.kinds()[-1] == "run_ended"
    return run


def swap(first: str, second: str) -> Bend:
    """Exchanges the first events of two kinds."""

    def bend(log: Log) -> None:
        one, other = place(log, first), place(log, second)
        event = RecordedEvent()
        event.CopyFrom(log[one])
        log[one].event.CopyFrom(log[other].event)
        log[other].event.CopyFrom(event.event)

    return bend


def place(log: Log, kind: str, skip: int = 0) -> int:
    """Index of an event of that kind."""
    return [index for index, recorded in enumerate(log) if recorded.event.WhichOneof("kind") == kind][skip]


def change(kind: str, what: Callable[[Any], None], skip: int = 0) -> Bend:
    """Changes an event of a kind."""
    return lambda log: what(getattr(log[place(log, kind, skip)].event, kind))


def _gap(log: Log) -> None:
    del log[place(log, "node_started")]


def _foreign_lease(log: Log) -> None:
    log[place(log, "node_started")].holder.lease_id = "lease-9"


def _repeated_ordinal(log: Log) -> None:
    log[place(log, "node_settled")].holder.ordinal = 1


def _outside_start(log: Log) -> None:
    log[place(log, "node_started")].outside.actor = "somebody"


def _holder_grant(log: Log) -> None:
    log[place(log, "lease_granted", 1)].holder.lease_id = "lease-1"


def _begun_twice(log: Log) -> None:
    settled = log[place(log, "node_settled")]
    started = node_events_pb2.NodeStarted(instance=settled.event.node_settled.instance, effect=1)
    settled.event.node_started.CopyFrom(started)


def _settled_twice(log: Log) -> None:
    settled = log[place(log, "node_settled")].event
    after = log[place(log, "wait_opened")].event
    after.node_settled.CopyFrom(settled.node_settled)


def _nowhere(log: Log) -> None:
    log[place(log, "node_settled")].event.node_settled.ClearField("instance")


def _taken_twice(log: Log) -> None:
    taken = log[place(log, "fact_taken_up")].event
    log[place(log, "node_output", 1)].event.CopyFrom(taken)


def _after_the_end(log: Log) -> None:
    late = RecordedEvent()
    late.CopyFrom(log[place(log, "node_started")])
    late.sequence = len(log) + 1
    log.append(late)


def _begun_under_a_stop(log: Log) -> None:
    log[place(log, "node_settled")].CopyFrom(
        RecordedEvent(
            run_id="run",
            sequence=place(log, "node_settled") + 1,
            outside=run_events_pb2.OutsideOrigin(),
            event=run_events_pb2.RunEvent(
                stop_requested=run_events_pb2.StopRequested(kind=run_events_pb2.STOP_KIND_CANCEL)
            ),
        )
    )


@pytest.mark.parametrize(
    ("bend", "rule"),
    [
        (_gap, Rule.SEQUENCE),
        (_outside_start, Rule.ORIGIN),
        (_holder_grant, Rule.ORIGIN),
        (_foreign_lease, Rule.LEASE),
        (_repeated_ordinal, Rule.LEASE),
        (_after_the_end, Rule.LEASE),
        (swap("run_created", "lease_granted"), Rule.TRANSITION),
        (change("lease_revoked", lambda revoked: setattr(revoked, "epoch", 9)), Rule.TRANSITION),
        (change("node_started", lambda started: setattr(started.instance.path[0], "node", "z")), Rule.PLAN),
        (change("node_started", lambda started: setattr(started.instance.path[0], "node", "?")), Rule.PLAN),
        (change("node_started", lambda started: setattr(started.instance, "attempt", 2)), Rule.PLAN),
        (change("node_started", lambda started: setattr(started, "redo", 1)), Rule.PLAN),
        (change("node_started", lambda started: setattr(started, "effect", 1), 1), Rule.PLAN),
        (change("run_ended", lambda ended: setattr(ended, "state", 5)), Rule.PLAN),
        (change("run_paused", lambda paused: setattr(paused, "ready", True)), Rule.PLAN),
        (change("fact_taken_up", lambda taken: setattr(taken, "sequence", 2)), Rule.FACT),
        (_begun_twice, Rule.PLAN),
        (_nowhere, Rule.PLAN),
        (_settled_twice, Rule.SETTLED_ONCE),
        (_taken_twice, Rule.FACT),
        (_begun_under_a_stop, Rule.STOPPED),
        (change("node_settled", lambda settled: setattr(settled, "outcome", 2), 1), Rule.SETTLED_ONCE),
        (change("fact_recorded", lambda fact: setattr(fact.decision, "subject_digest", b"other")), Rule.FACT),
        (change("fact_recorded", lambda fact: setattr(fact.decision, "approval_id", "other")), Rule.FACT),
        (change("fact_recorded", lambda fact: setattr(fact.decision, "kind", 9)), Rule.FACT),
        (change("fact_recorded", lambda fact: setattr(fact.resolution, "report_sequence", 4), 1), Rule.FACT),
        (change("fact_recorded", lambda fact: fact.instance.CopyFrom(instances_pb2.Instance()), 1), Rule.FACT),
        (change("node_settled", lambda settled: setattr(settled, "output_digest", b"other")), Rule.DIGEST),
        (change("run_created", lambda created: setattr(created, "plan_digest", b"other")), Rule.DIGEST),
    ],
)
def test_a_bent_log_is_noticed(log: Any, bend: Bend, rule: Rule) -> None:
    bent = [RecordedEvent.FromString(recorded.SerializeToString()) for recorded in log.recorded]
    bend(bent)

    assert rule in {violation.rule for violation in check(log.plan, bent).violations}


def test_a_sound_log_has_nothing_against_it_at_any_point(log: Any) -> None:
    for length in range(3, len(log.recorded) + 1):
        checked = check(log.plan, log.recorded[:length], finish=length == len(log.recorded))
        assert checked.violations == []


def test_a_log_that_is_empty_is_not_sound(log: Any) -> None:
    assert [violation.rule for violation in check(log.plan, []).violations] == [Rule.SEQUENCE]


@pytest.mark.parametrize(("known", "rules"), [(False, set()), (True, {Rule.FACT})])
def test_an_answer_that_a_report_made_void_is_taken_up_only_by_a_holder_that_cannot_know(
    rehearse: Any, plans: Any, at: Any, known: bool, rules: set[Rule]
) -> None:
    run = rehearse(plans.line(plans.node("publish", effect=GUARDED))).go(hold_work=True).lose()
    publish, report = at("publish"), fact_events_pb2.LateReported(lease_id="lease-1", reopens_doubt=True)
    again = fact_events_pb2.EffectResolution(kind=fact_events_pb2.RESOLUTION_KIND_RETRY)
    answer = run.fact(publish, resolution=again)
    run.lease()
    reported = run.fact(publish, late_report=report)
    if known:
        run.lose()
        done = fact_events_pb2.EffectResolution(kind=fact_events_pb2.RESOLUTION_KIND_DONE, report_sequence=reported)
        run.fact(publish, resolution=done)
        run.lease()
    bent = [*run.recorded, taking(run, answer)]

    assert {violation.rule for violation in check(run.plan, bent, finish=False).violations} == rules


def taking(run: Any, fact: int) -> RecordedEvent:
    """The event with which the run's holder takes a fact up."""
    event = run_events_pb2.RunEvent(fact_taken_up=fact_events_pb2.FactTakenUp(sequence=fact))
    recorded = RecordedEvent(run_id="run", sequence=len(run.recorded) + 1, event=event)
    recorded.holder.lease_id, recorded.holder.epoch = run.head.lease_id, run.head.epoch
    recorded.holder.ordinal = run.head.next_ordinal
    return recorded


def test_content_that_is_not_what_was_said_is_noticed(log: Any) -> None:
    bent = [RecordedEvent.FromString(recorded.SerializeToString()) for recorded in log.recorded]
    bent[place(bent, "node_settled")].event.node_settled.output_digest = hashlib.sha256(b'{"n":1}').digest()
    sound = check(log.plan, bent).violations
    bent[place(bent, "node_output")].event.node_output.json = b'{"n":2}'

    assert sound == []
    assert [violation.rule for violation in check(log.plan, bent).violations] == [Rule.DIGEST]


def test_a_server_that_shows_something_else_is_noticed(log: Any) -> None:
    row = runs_pb2.Run(state=log.state.message(), last_sequence=len(log.recorded), ended_sequence=len(log.recorded))
    sound = check(log.plan, log.recorded, row).violations
    row.last_sequence += 1

    assert sound == []
    assert [violation.rule for violation in check(log.plan, log.recorded, row).violations] == [Rule.ROW]


@pytest.mark.parametrize(
    "told",
    [
        Acknowledgement("gone", 1),
        Acknowledgement("run", 99),
        Acknowledgement("run", 5, "lease-1", 9),
        Acknowledgement("run", 4, "lease-1", 3),
    ],
)
def test_what_was_acknowledged_and_is_not_there_is_noticed(log: Any, told: Acknowledgement) -> None:
    logs = {"run": check(log.plan, log.recorded)}
    last = log.recorded[place(log.recorded, "node_settled")]
    sound = [Acknowledgement("run", last.sequence, "lease-1", last.holder.ordinal), Acknowledgement("run", 1)]

    assert compare_acknowledgements(logs, sound) == []
    assert [violation.rule for violation in compare_acknowledgements(logs, [told])] == [Rule.ACKNOWLEDGED]


def test_launches_that_the_log_does_not_account_for_are_noticed(log: Any, rehearse: Any, plans: Any) -> None:
    done = rehearse(plans.line(plans.node("publish", effect=GUARDED))).go()
    logs = {"lost": check(log.plan, log.recorded), "done": check(done.plan, done.recorded)}
    (lost_key,) = [begun.key for begun in logs["lost"].begun.values()]
    (done_key,) = [begun.key for begun in logs["done"].begun.values()]
    lost, once = Launch(lost_key, "publish"), Launch(done_key, "publish")

    assert lost_key == done_key  # both were rehearsed under one lineage
    assert compare_launches({"done": logs["done"]}, [once]) == []
    assert compare_launches({"lost": logs["lost"]}, []) == []
    assert len(compare_launches({"lost": logs["lost"]}, [lost, lost])) == 1
    assert len(compare_launches({"done": logs["done"]}, [Launch("stranger", "publish")])) == 2
    assert compare_launches({"done": logs["done"]}, [Launch("stranger", "other")])[0].rule is Rule.LAUNCHED


def test_an_attempt_that_failed_and_its_retry_are_two_launches_and_no_more(
    rehearse: Any, plans: Any, failed: Any
) -> None:
    node = plans.node("publish", effect=GUARDED, iteration_cap=2)
    run = rehearse(plans.line(node), publish=[failed]).go()
    logs = {"run": run.checked()}
    (key,) = {begun.key for begun in logs["run"].begun.values()}
    launch = Launch(key, "publish")

    assert compare_launches(logs, [launch, launch]) == []
    assert {violation.rule for violation in compare_launches(logs, [launch] * 3)} == {Rule.LAUNCHED}


def test_a_witness_is_read_from_an_executors_log() -> None:
    lines = [
        json.dumps({"event": "stream.opened", "server": "s"}) + "\n",
        json.dumps({"event": "events.acknowledged", "run": "r", "lease": "l", "ordinal": 2, "sequence": 5}) + "\n",
        "\n",
        json.dumps({"run": "q", "sequence": 1}) + "\n",
        '{"run": "cut off',
    ]

    assert read_acknowledgements(lines) == [Acknowledgement("r", 5, "l", 2), Acknowledgement("q", 1)]


@pytest.mark.parametrize("lines", [["no JSON\n"], ["[1]\n"], ['{"run": "r"}\n'], ['{"run": 1, "sequence": 1}\n']])
def test_a_witness_that_cannot_be_read_names_the_line(lines: list[str]) -> None:
    with pytest.raises(ValueError, match="line 1"):
        read_acknowledgements(lines)
    with pytest.raises(ValueError, match="line 1"):
        read_launches(lines)


def check(plan: Any, recorded: Log, row: runs_pb2.Run | None = None, *, finish: bool = True) -> LogChecker:
    """Checks a log."""
    checker = LogChecker("run", plan, b"")
    for one in recorded:
        checker.take(one)
    if finish:
        checker.finish(row)
    return checker

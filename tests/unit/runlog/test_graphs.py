"""Whatever graph is walked, and in whatever order things happen in it."""

import contextlib
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure.runlog.folding import fold_event
from perdure.runlog.head import IllegalEvent
from perdure.runlog.interpreter import decide
from perdure.runlog.node_walk import Phase
from perdure.runlog.plans import WalkPlan
from perdure.runlog.states import RunState
from perdure.runlog.walk import Walk
from perdure.v1.run_events_pb2 import RunEvent
from tests.unit.runlog.conftest import Rehearsal
from tests.unit.runlog.graphs import Disorder, graphs

EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

DECIDED = {Phase.SUCCEEDED, Phase.PASSED_OVER, Phase.TAKEN, Phase.CUT_OFF}
"""Phases in which nothing is left to be done at a node."""


def folded(plan: WalkPlan, log: list[tuple[RunEvent, int]]) -> Walk:
    walk = Walk(plan)
    for event, sequence in log:
        fold_event(walk, event, sequence)
    return walk


def numbered(run: Rehearsal) -> list[tuple[RunEvent, int]]:
    return [(event, sequence) for sequence, (event, _) in enumerate(run.log, 1)]


@EXAMPLES
@given(plan=graphs(), data=st.data())
def test_a_run_in_which_nothing_fails_does_every_node_once_after_all_before_it(plan: WalkPlan, data: Any) -> None:
    run = Rehearsal(plan).create()

    Disorder(run, data.draw).play(trouble=False)

    done = [started.partition(":")[0] for started in run.started]
    assert run.state is RunState.COMPLETED
    assert sorted(done) == sorted(plan.nodes)
    assert all(done.index(edge.source) < done.index(edge.target) for edge in plan.message.edges)
    assert run.violations() == []


@EXAMPLES
@given(plan=graphs(guards=True), data=st.data())
def test_what_is_done_is_what_the_choices_lead_to_and_nothing_waits_for_the_rest(plan: WalkPlan, data: Any) -> None:
    run = Rehearsal(plan).create()

    Disorder(run, data.draw).play(trouble=False)

    chosen = {node: state.chosen for node, state in run.walk.nodes.items() if state.chosen}
    assert run.state is RunState.COMPLETED
    assert {started.partition(":")[0] for started in run.started} == set(plan.nodes) - plan.passed_over(chosen)
    assert set(run.walk.taken_before(list(plan.order)[-1])) <= set(plan.nodes) - plan.passed_over(chosen)
    assert run.violations() == []


@EXAMPLES
@given(plan=graphs(guards=True, takers=True), data=st.data())
def test_whatever_happens_the_log_is_legal_and_completed_means_that_every_taken_node_succeeded(
    plan: WalkPlan, data: Any
) -> None:
    run = Rehearsal(plan).create()

    Disorder(run, data.draw).play(trouble=True)

    assert run.violations() == []
    left = {state.phase for state in run.walk.nodes.values()} - DECIDED
    assert (run.state is RunState.COMPLETED) == (not left and run.walk.ended is not None)


@EXAMPLES
@given(plan=graphs(takers=True), data=st.data())
def test_what_comes_after_a_failure_that_was_taken_is_done_only_on_the_way_that_the_plan_goes(
    plan: WalkPlan, data: Any
) -> None:
    run = Rehearsal(plan).create()

    Disorder(run, data.draw).play(trouble=True)

    missed: dict[str, set[str]] = {}
    for node in plan.order:
        state = run.walk.nodes[node]
        before = [other for other in plan.predecessors[node] if plan.follows_success(other, node)]
        away = {to for other in before for to in missed.get(other, ()) if node not in plan.behind(to)}
        assert not (away and state.phase is Phase.SUCCEEDED)
        missed[node] = away | ({state.chosen} if state.phase is Phase.TAKEN else set())


@EXAMPLES
@given(plan=graphs(guards=True, takers=True, maps=True), data=st.data())
def test_another_executor_goes_on_from_any_position_as_the_first_would_have(plan: WalkPlan, data: Any) -> None:
    run = Rehearsal(plan).create()
    Disorder(run, data.draw).play(trouble=True)
    position = data.draw(st.integers(2, len(run.log)))

    heir = Rehearsal(plan)
    for event, by_holder in run.log[:position]:
        heir.append(event, by_holder=by_holder)
    if heir.head.lease_id is not None:
        heir.lose()
    Disorder(heir, data.draw).play(trouble=False)

    assert heir.violations() == []
    assert heir.walk.ended is not None


@EXAMPLES
@given(plan=graphs(guards=True, takers=True, maps=True), data=st.data())
def test_when_a_fact_comes_between_what_the_holder_does_changes_nothing(plan: WalkPlan, data: Any) -> None:
    run = Rehearsal(plan).create()
    Disorder(run, data.draw).play(trouble=True)
    log = numbered(run)

    for sequence in [sequence for event, sequence in log if event.fact_recorded.HasField("decision")]:
        at = next(place for place, (_, other) in enumerate(log) if other == sequence)
        fact = log.pop(at)
        asked = fact[0].fact_recorded.instance
        first = next(place for place, (event, _) in enumerate(log) if _asks(event, asked))
        last = next((p for p in range(first, len(log)) if _needs(log[p][0], sequence)), len(log))
        log.insert(data.draw(st.integers(first + 1, last)), fact)

    one, other = folded(plan, numbered(run)), folded(plan, log)
    one.seen = other.seen = 0
    assert one == other
    assert decide(one) == decide(other)


def _asks(event: RunEvent, asked: Any) -> bool:
    return event.HasField("wait_opened") and event.wait_opened.instance == asked


def _needs(event: RunEvent, sequence: int) -> bool:
    """Whether the fact must be there by this event: it is used, or what it is for is gone."""
    return event.fact_taken_up.sequence == sequence or event.WhichOneof("kind") in ("jumped", "run_ended")


@EXAMPLES
@given(plan=graphs(gates=False), data=st.data())
def test_a_log_whose_node_begins_too_early_is_no_legal_one(plan: WalkPlan, data: Any) -> None:
    run = Rehearsal(plan).create()
    Disorder(run, data.draw).play(trouble=False)
    starts = [place for place, (event, _) in enumerate(run.log) if event.HasField("node_started")]
    early = [place for place in starts if plan.predecessors[run.log[place][0].node_started.instance.path[-1].node]]
    if not early:
        return
    place = data.draw(st.sampled_from(early))

    moved = [*run.log[:2], run.log[place], *run.log[2:place], *run.log[place + 1 :]]
    forged = Rehearsal(plan)
    with contextlib.suppress(IllegalEvent):  # no server would have stored the rest of it
        for event, by_holder in moved:
            forged.append(event, by_holder=by_holder)

    assert forged.violations()

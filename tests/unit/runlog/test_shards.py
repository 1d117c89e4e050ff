"""Maps whose lists are too long for one run: in which order their shards are done, and what each is told and leaves."""

import copy
import json
from typing import Any

import pytest

from perdure.runlog.checker import LogChecker
from perdure.runlog.effects import child_run_id
from perdure.runlog.instances import Instance, Step, parse_instance
from perdure.runlog.plans import MAX_ITEMS, MAX_LISTED
from perdure.runlog.rules import Rule
from perdure.runlog.shards import given
from perdure.runlog.states import RunState
from perdure.v1 import fact_events_pb2, instances_pb2, plans_pb2, run_events_pb2

FAILS = (instances_pb2.OUTCOME_FAILED, instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED, b"")


def map_node(plans: Any, **fields: Any) -> plans_pb2.PlanNode:
    """A map whose items may be done in shards."""
    inside = plans_pb2.MapNode(node=plans.node("m"), **fields)
    shard = plans_pb2.PartNode(node=plans.node("m", map=inside), plan_digest=b"p" * 32)
    spec: plans_pb2.PlanNode = plans.node(
        "m", map=plans_pb2.MapNode(items="list", node=plans.node("m"), shard=shard, **fields)
    )
    return spec


def long_map(rehearse: Any, plans: Any, items: int = 250, **fields: Any) -> Any:
    run = rehearse(plans.line(map_node(plans, **fields), plans.node("z")))
    run.items = items
    return run.go()


def shards(run: Any) -> list[fact_events_pb2.ChildStarted]:
    return [event.child_started for event, _ in run.log if event.HasField("child_started")]


def end(run: Any, shard: str, left: dict[str, Any], state: RunState = RunState.COMPLETED, **fields: Any) -> Any:
    """Tells a run that the part which does a shard has ended, and lets it go on."""
    where = parse_instance(shard)
    run.outside(fact_content=fact_events_pb2.FactContent(instance=where.message(), json=json.dumps(left).encode()))
    ended = fact_events_pb2.ChildEnded(
        run_id=child_run_id("run", where), state=state.message(), ended_sequence=3, **fields
    )
    run.fact(where, child_ended=ended)
    return run.lease().go()


def left(first: int, count: int, *failed: int) -> dict[str, Any]:
    """What a shard leaves in which these items have failed."""
    results = [None if n in failed else {"n": n} for n in range(first, first + count)]
    return {"results": results, "errors": [{"index": n, "cause": "EXIT_CODE", "message": ""} for n in failed]}


def test_a_map_that_may_fail_has_one_shard_after_the_other_and_is_one_map_in_the_end(rehearse: Any, plans: Any) -> None:
    run = long_map(rehearse, plans, max_parallel=7, tolerated_failures=3)

    for number, (first, count, failed) in enumerate([(0, 100, [1, 2]), (100, 100, []), (200, 50, [249])], 1):
        assert len(shards(run)) == number
        end(run, f"m[{first}]:1#1", left(first, count, *failed))

    told = [(one.shard.max_parallel, one.shard.tolerated_failures) for one in shards(run)]
    output = json.loads(next(e.node_output.json for e, _ in reversed(run.log) if e.HasField("node_output")))
    assert told == [(7, 3), (7, 1), (7, 1)]
    assert output == left(0, 250, 1, 2, 249)
    assert run.state is RunState.COMPLETED


@pytest.mark.parametrize(("max_parallel", "shares"), [(5, [2, 2, 1]), (3, [1, 1, 1]), (2, [1, 1]), (1, [1])])
def test_a_map_of_which_any_number_may_fail_divides_what_may_be_under_way_among_its_shards(
    rehearse: Any, plans: Any, max_parallel: int, shares: list[int]
) -> None:
    run = long_map(rehearse, plans, max_parallel=max_parallel)

    assert [one.shard.max_parallel for one in shards(run)] == shares
    assert not any(one.shard.HasField("tolerated_failures") for one in shards(run))


def test_a_shard_that_fails_fails_the_map_and_its_next_attempt_is_given_what_it_had_done(
    rehearse: Any, plans: Any
) -> None:
    run = long_map(rehearse, plans, max_parallel=5, tolerated_failures=0)
    end(run, "m[0]:1#1", left(0, 100))
    kept = {"done": {"101": {"n": 101}}, "redos": {"102": 1}}
    cause = instances_pb2.FAILURE_CAUSE_ITEM_FAILED
    end(run, "m[100]:1#1", kept, RunState.FAILED, cause=cause, message="m[102]:1#1 failed")
    failed = (run.ended.cause, run.ended.message)
    reopened = run.walk.instance("m").message()
    answers = run.head.ended_sequence
    run.outside(
        run_continued=run_events_pb2.RunContinued(answers_sequence=answers, reopened=reopened, extra_attempts=1)
    )

    run.lease().go()
    told = given(run.walk, run.walk.instance("m[100]"))

    assert failed == (cause, "m[102]:1#1 failed")
    assert run.started == ["m:1#1", "m[0]:1#1", "m[100]:1#1", "m[100]:1#2"]
    assert told == {"[items]": list(range(100, 200)), "[left]": kept}


def test_a_shard_does_what_was_left_under_the_addresses_and_keys_of_the_whole_list(rehearse: Any, plans: Any) -> None:
    where = Instance((Step("m", 1, 101),), 2)
    part = run_events_pb2.RunPart(
        instance=where.message(), shard=instances_pb2.MapShard(max_parallel=1, tolerated_failures=0)
    )
    run = rehearse(plans.line(map_node(plans, max_parallel=9)), part=part, m=[(*FAILS[:2], b"")])
    told = {"[items]": [7, 8, 9], "[left]": {"done": {"100": {"n": 1}}, "redos": {"101": 4}}}
    run.outside(run_input=run_events_pb2.RunInput(json=json.dumps(told).encode()))

    run.go(hold_work=True)
    under_way = [(str(start.instance), start.redo) for start in run.running]
    run.finish((instances_pb2.OUTCOME_SUCCEEDED, 0, b'{"n":2}')).go()

    assert under_way == [("m[101]:1#1", 4)]
    assert run.started == ["m:1#2", "m[101]:1#1", "m[102]:1#1"]
    assert run.ended.message.startswith("m[102]:1#1 failed")
    kept = next(event.run_output.json for event, _ in run.log if event.HasField("run_output"))
    assert json.loads(kept) == {"done": {"100": {"n": 1}, "101": {"n": 2}}, "redos": {"101": 4}}


def test_results_of_a_shard_that_are_only_its_own_name_their_places_in_the_whole_list(
    rehearse: Any, plans: Any
) -> None:
    where = Instance((Step("m", 1, 101),), 1)
    part = run_events_pb2.RunPart(instance=where.message(), shard=instances_pb2.MapShard(max_parallel=9))
    run = rehearse(plans.line(map_node(plans, max_parallel=9)), part=part, m=[FAILS])
    run.outside(run_input=run_events_pb2.RunInput(json=b'{"[items]":[1,2]}'))

    run.go()

    output = json.loads(next(event.run_output.json for event, _ in run.log if event.HasField("run_output")))
    assert ([error["index"] for error in output["errors"]], len(output["results"])) == ([100], 2)


@pytest.mark.parametrize("items", [MAX_ITEMS, MAX_ITEMS + 1])
def test_shards_are_for_lists_that_are_longer_than_one_run_may_have(rehearse: Any, plans: Any, items: int) -> None:
    run = long_map(rehearse, plans, items=items, max_parallel=1, tolerated_failures=0)

    assert bool(shards(run)) is (items > MAX_ITEMS)


def test_a_list_that_is_longer_than_any_map_may_have_is_noticed(rehearse: Any, plans: Any) -> None:
    run = long_map(rehearse, plans, max_parallel=1, tolerated_failures=0)
    checker = LogChecker("run", run.plan, b"")

    for recorded in copy.deepcopy(run.recorded):
        if recorded.event.HasField("map_begun"):
            recorded.event.map_begun.count = MAX_LISTED + 1
        checker.take(recorded)

    found = [one.message for one in checker.violations if one.rule is Rule.PLAN]
    assert found == [f"m:1#1 is over {MAX_LISTED + 1} items; it may be over {MAX_LISTED}"]

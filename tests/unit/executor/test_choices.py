"""Which guarded step is taken: every guard is evaluated when its node has done its work, and exactly one must hold."""

from typing import Any

import pytest

from perdure.runlog.plans import WalkPlan
from perdure.v1 import instances_pb2, plans_pb2
from tests.unit.executor.walked import HOLD, RELEASE, Walked, done, until


@pytest.fixture
def choose(plans: Any) -> Any:
    """Walks `a`, which gives what it is told, and then the one of b, c and d whose guard holds."""

    def begin(gives: Any, /, **guards: str | None) -> Walked:
        async def tells(call: Any) -> Any:
            return gives

        names = ["a", *guards]
        nodes = [plans.node(name, function=plans_pb2.FunctionNode(function=name)) for name in names]
        edges = [
            plans_pb2.PlanEdge(source="a", target=name, when=guard or "", otherwise=guard is None)
            for name, guard in guards.items()
        ]
        plan = WalkPlan(plans_pb2.Plan(nodes=nodes, edges=edges, jump_limit=10))
        return Walked(plan, {"a": tells, **dict.fromkeys(guards, done)})

    return begin


def ended(walked: Walked) -> tuple[str, str]:
    """The cause and the message of the end."""
    event = walked.log[-1].event.run_ended
    return instances_pb2.FailureCause.Name(event.cause).removeprefix("FAILURE_CAUSE_"), event.message


@pytest.mark.parametrize(("kind", "taken"), [("small", "b"), ("large", "c"), ("odd", "d")])
async def test_the_step_whose_guard_holds_is_taken_and_else_the_one_for_that_case(
    choose: Any, kind: str, taken: str
) -> None:
    walked = choose({"kind": kind}, b="kind == 'small'", c="nodes.a.kind == 'large'", d=None)

    await walked.settle()

    assert walked.called == ["a", taken]
    assert walked.kinds()[2:4] == ["node_settled", "choice_made"]
    assert walked.over
    assert walked.violations() == []


@pytest.mark.parametrize(
    ("guards", "cause", "said"),
    [
        ({"b": "kind == 'x'"}, "CHOICE_UNCLEAR", "no guard holds"),
        ({"b": "true", "c": "kind != 'x'", "d": None}, "CHOICE_UNCLEAR", "the guards of b and c hold"),
        ({"b": "kind"}, "EXPRESSION", "a guard is true or false"),
        ({"b": "nobody", "c": "true"}, "EXPRESSION", "nobody"),
        ({"b": "1 / size(kind.substring(5)) > 0", "c": "true"}, "EXPRESSION", "kind"),
        ({"b": "1 / (size(kind) - 5) > 0", "c": None}, "EXPRESSION", "it divides by zero"),
    ],
    ids=["none holds", "two hold", "no truth", "no such name", "no such function", "division by zero"],
)
async def test_a_choice_that_is_not_clear_fails_its_node_and_begins_nothing(
    choose: Any, guards: dict[str, str | None], cause: str, said: str
) -> None:
    walked = choose({"kind": "small"}, **guards)

    await walked.settle()

    assert walked.called == ["a"]
    assert ended(walked)[0] == cause
    assert said in ended(walked)[1]
    assert walked.violations() == []


async def test_a_choice_that_work_rests_on_stays_when_a_hold_came_between(choose: Any) -> None:
    walked = choose({"kind": "small"}, b="kind == 'small'", c=None)
    await until(lambda: len(walked.called) == 2)
    walked.outside(**HOLD)

    answers = await walked.settle()
    held = walked.kinds()[-1]

    assert "Behind" in answers
    assert held == "run_paused"
    assert walked.kinds().count("choice_made") == 1
    assert walked.called == ["a", "b"]
    assert walked.violations() == []


async def test_under_a_hold_no_choice_is_made(choose: Any) -> None:
    walked = choose({"kind": "small"}, b="kind == 'small'", c=None)
    walked.outside(**HOLD)
    await walked.settle()

    walked.outside(**RELEASE)

    assert "choice_made" not in walked.kinds()
    assert walked.violations() == []

"""The tree of what is followed: how far each run is, and what it has not come to."""

import io
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from perdure.cli.following.lines import lines
from perdure.cli.following.node_story import NodeStory, Stage
from perdure.cli.following.story import RunStory, Story
from perdure.cli.following.tree import tree
from perdure.cli.following.way import Way
from perdure.runlog.instances import Instance, Step
from perdure.runlog.plans import WalkPlan
from perdure.v1.instances_pb2 import FAILURE_CAUSE_CHOICE_UNCLEAR
from perdure.v1.node_events_pb2 import ChoiceMade, MapBegun
from perdure.v1.plans_pb2 import Plan, PlanEdge, PlanNode
from perdure.v1.run_events_pb2 import HolderOrigin, JumpBegun, RecordedEvent, RunEvent

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def attempt(node: str, visit: int, number: int, stage: Stage) -> tuple[Instance, NodeStory]:
    where = Instance((Step(node, visit),), number)
    return where, NodeStory(where, NOW, stage)


def drawn(run: RunStory) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as captured:
        console.print(tree(Story(alone=True, runs={run.run_id: run}), NOW))
    return [line.strip() for line in captured.get().splitlines() if line.strip()]


def line(*names: str) -> WalkPlan:
    edges = [PlanEdge(source=a, target=b) for a, b in zip(names, names[1:], strict=False)]
    return WalkPlan(Plan(nodes=[PlanNode(id=name) for name in names], edges=edges))


def test_a_node_counts_as_done_by_its_last_attempt() -> None:
    tried = [
        attempt("fetch", 1, 1, Stage.FAILED),
        attempt("fetch", 1, 2, Stage.SUCCEEDED),
        attempt("draft", 1, 1, Stage.SUCCEEDED),
        attempt("draft", 2, 1, Stage.STARTED),
    ]

    shown = drawn(RunStory("r", nodes=dict(tried), way=Way(line("fetch", "draft", "review"))))

    assert shown[0].endswith("1 of 3 nodes done")
    assert shown[-1].endswith("○ review")


def test_of_much_that_is_to_come_the_first_is_named_and_the_rest_counted() -> None:
    shown = drawn(RunStory("r", way=Way(line(*(f"node-{number}" for number in range(9))))))

    assert [line.rpartition("○ ")[2] for line in shown[1:]] == [
        *(f"node-{number}" for number in range(5)),
        "and 4 more",
    ]


def test_a_run_whose_plan_nobody_has_read_shows_no_count() -> None:
    shown = drawn(RunStory("r"))

    assert len(shown) == 1
    assert "nodes done" not in shown[0]


def test_what_was_passed_over_is_not_to_come_until_the_walk_goes_back() -> None:
    edges = [
        PlanEdge(source="ask", target="yes", when="x"),
        PlanEdge(source="ask", target="no", otherwise=True),
        PlanEdge(source="yes", target="more"),
    ]
    plan = WalkPlan(Plan(nodes=[PlanNode(id=name) for name in ("ask", "yes", "more", "no")], edges=edges))
    ask = Instance((Step("ask", 1),), 1)
    run = RunStory("r", way=Way(plan), nodes=dict([attempt("ask", 1, 1, Stage.SUCCEEDED)]))

    run.tell(by_holder(choice_made=ChoiceMade(instance=ask.message(), target="no")))
    chosen = drawn(run)
    run.tell(by_holder(jump_begun=JumpBegun(source=ask.message(), target="ask", region=plan.order)))

    assert chosen[0].endswith("1 of 2 nodes done")
    assert [line.lstrip("├└─ │") for line in chosen[1:]] == ["✔ ask  goes on with no", "○ no"]
    assert len(run.to_come) == 3


def test_a_choice_that_could_not_be_made_is_shown_as_a_failure_of_its_node() -> None:
    ask = Instance((Step("ask", 1),), 1)
    run = RunStory("r", nodes=dict([attempt("ask", 1, 1, Stage.SUCCEEDED)]))
    unclear = ChoiceMade(instance=ask.message(), cause=FAILURE_CAUSE_CHOICE_UNCLEAR, message="no guard holds")

    news = by_holder(choice_made=unclear)
    run.tell(news)

    assert run.nodes[ask].stage is Stage.FAILED
    assert list(lines(Story(runs={"r": run}), news)) == ["00:00:00Z ask:1#1 failed: choice unclear: no guard holds"]


def by_holder(**kind: Any) -> RecordedEvent:
    return RecordedEvent(run_id="r", holder=HolderOrigin(lease_id="l", epoch=1), event=RunEvent(**kind))


def test_a_map_shows_how_many_items_are_done_and_those_that_are_not() -> None:
    def item(index: int, number: int, stage: Stage) -> tuple[Instance, NodeStory]:
        where = Instance((Step("fan", 1, index + 1),), number)
        return where, NodeStory(where, NOW, stage)

    tried = [
        attempt("fan", 1, 1, Stage.STARTED),
        item(0, 1, Stage.SUCCEEDED),
        item(2, 1, Stage.FAILED),
        item(1, 1, Stage.STARTED),
        item(2, 2, Stage.STARTED),
    ]
    run = RunStory("r", nodes=dict(tried), way=Way(line("fan", "last")))
    next(iter(run.nodes.values())).goes_over(MapBegun(count=5))

    shown = [drawn_line.lstrip("│├└─ ") for drawn_line in drawn(run)]

    assert shown[0].endswith("0 of 2 nodes done")
    assert shown[1].endswith("goes over 5 items")
    assert shown[2:] == ["1 of 5 items done", "● fan[1]  0s", "● fan[2] (attempt 2)  0s", "○ last"]

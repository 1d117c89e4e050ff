"""The tree of what is followed: how far each run is, and what it has not come to."""

import io
from datetime import UTC, datetime

from rich.console import Console

from perdure.cli.following.story import NodeStory, RunStory, Stage, Story
from perdure.cli.following.tree import tree
from perdure.runlog.instances import Instance, Step

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def attempt(node: str, visit: int, number: int, stage: Stage) -> tuple[Instance, NodeStory]:
    where = Instance((Step(node, visit),), number)
    return where, NodeStory(where, NOW, stage)


def drawn(run: RunStory) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as captured:
        console.print(tree(Story(alone=True, runs={run.run_id: run}), NOW))
    return [line.strip() for line in captured.get().splitlines() if line.strip()]


def test_a_node_counts_as_done_by_its_last_attempt() -> None:
    tried = [
        attempt("fetch", 1, 1, Stage.FAILED),
        attempt("fetch", 1, 2, Stage.SUCCEEDED),
        attempt("draft", 1, 1, Stage.SUCCEEDED),
        attempt("draft", 2, 1, Stage.STARTED),
    ]

    lines = drawn(RunStory("r", nodes=dict(tried), planned=("fetch", "draft", "review")))

    assert lines[0].endswith("1 of 3 nodes done")
    assert lines[-1].endswith("○ review")


def test_of_much_that_is_to_come_the_first_is_named_and_the_rest_counted() -> None:
    lines = drawn(RunStory("r", planned=tuple(f"node-{number}" for number in range(9))))

    assert [line.rpartition("○ ")[2] for line in lines[1:]] == [
        *(f"node-{number}" for number in range(5)),
        "and 4 more",
    ]


def test_a_run_whose_plan_nobody_has_read_shows_no_count() -> None:
    lines = drawn(RunStory("r"))

    assert len(lines) == 1
    assert "nodes done" not in lines[0]

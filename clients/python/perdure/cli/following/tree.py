"""What is followed as a tree: runs, their nodes, and the last words of whatever is running."""

from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from perdure.cli.durations import short_duration
from perdure.cli.following.next_steps import next_steps
from perdure.cli.following.node_story import NodeStory, Stage, tail
from perdure.cli.following.signs import (
    OF_FLOW,
    OF_RUN,
    OF_STAGE,
    UNDER_WAY,
    note,
    state_word,
    status_word,
)
from perdure.cli.following.story import RunStory, Story
from perdure.cli.names import bare
from perdure.runlog.states import TERMINAL

MOST_TO_COME: Final = 5
"""Nodes that are named before the walk has come to them; of more, their number is shown."""


MOST_ITEMS: Final = 10
"""Items of a map that are shown at once, beside those that are done."""


def tree(story: Story, now: datetime) -> RenderableType:
    """The story as it stands at a moment, and what to type next where something waits."""
    trunk = Tree(_title(story), guide_style="dim", hide_root=story.flow is None)
    below = {node.child for run in story.runs.values() for node in run.nodes.values() if node.child}
    for run in story.runs.values():
        if run.run_id not in below:
            _add_run(trunk, run, story, now)
    steps = [Text(f"▶ {step}", style="bold") for step in next_steps(story)]
    return Group(trunk, *steps)


def _add_run(trunk: Tree, run: RunStory, story: Story, now: datetime) -> None:
    """Adds a run with its nodes, and below those that have started others these."""
    branch = trunk.add(_run_line(run, now))
    for node in run.nodes.values():
        if node.is_item:
            continue  # it hangs below its map
        twig = branch.add(_node_line(node, now))
        if node.items is not None:
            _add_items(twig, run, node, story, now)
        for line in tail(node) if node.stage in (Stage.STARTED, Stage.FAILED) else ():
            twig.add(Text(line, style="dim", no_wrap=True, overflow="ellipsis"))
        child = story.runs.get(node.child)
        if child is not None:
            _add_run(twig, child, story, now)
    for line in _to_come(run):
        branch.add(Text(line, style="dim"))


def _add_items(twig: Tree, run: RunStory, of_map: NodeStory, story: Story, now: datetime) -> None:
    """Adds the last attempt of each item of a map that has begun, but for those that are done, whose number is enough."""
    own = of_map.where.path[-1]
    found = [node for node in run.nodes.values() if node.is_item and node.where.path[-1]._replace(item=0) == own]
    items = sorted({node.where.path: node for node in found}.values(), key=lambda node: node.where)
    open_ = [item for item in items if item.stage is not Stage.SUCCEEDED]
    if of_map.items and of_map.stage is not Stage.SUCCEEDED:
        twig.add(
            Text(
                f"{len(items) - len(open_)} of {of_map.items} {'shards' if of_map.in_shards else 'items'} done",
                style="dim",
            )
        )
    for item in open_[:MOST_ITEMS]:
        bough = twig.add(_node_line(item, now))
        for line in tail(item) if item.stage in (Stage.STARTED, Stage.FAILED) else ():
            bough.add(Text(line, style="dim", no_wrap=True, overflow="ellipsis"))
        if (child := story.runs.get(item.child)) is not None:
            _add_run(bough, child, story, now)
    if len(open_) > MOST_ITEMS:
        twig.add(Text(f"and {len(open_) - MOST_ITEMS} more", style="dim"))


def _title(story: Story) -> Text:
    flow = story.flow
    if flow is None:
        return Text()
    sign, style = OF_FLOW.get(flow.status, UNDER_WAY)
    playbook = flow.playbook_version.removeprefix("playbooks/").replace("/versions/", " ")
    return Text.assemble((f"{sign} ", style), (f"flow {bare(flow.name)}", "bold"), f" {status_word(flow)}, {playbook}")


def _run_line(run: RunStory, now: datetime) -> Text:
    sign, style = OF_RUN[run.head.state]
    line = Text.assemble((f"{sign} ", style), f"run {run.run_id} {state_word(run.head.state)}")
    if run.began_at is not None:
        line.append(f"  {_took(run.began_at, run.ended_at or now)}", style="dim")
    if run.way.nodes and run.head.state not in TERMINAL:
        line.append(f"  {run.done} of {len(run.way.nodes)} nodes done", style="dim")
    return line


def _to_come(run: RunStory) -> list[str]:
    lines = [f"○ {node}" for node in run.to_come[:MOST_TO_COME]]
    further = len(run.to_come) - len(lines)
    return [*lines, f"○ and {further} more"] if further else lines


def _node_line(node: NodeStory, now: datetime) -> Text:
    sign, style = OF_STAGE[node.stage]
    place = node.where.path[-1]
    again = [f"visit {place.visit}"] if place.visit > 1 else []
    again += [f"attempt {node.where.attempt}"] if node.where.attempt > 1 else []
    line = Text.assemble((f"{sign} ", style), place.place, (f" ({', '.join(again)})" if again else "", "dim"))
    under_way = node.stage in (Stage.STARTED, Stage.WAITING)
    if node.ended_at is not None or under_way:
        line.append(f"  {_took(node.began_at, node.ended_at or now)}", style="dim")
    said = note(node)
    if said:
        line.append(f"  {said}", style=style if node.stage is Stage.FAILED else "")
    return line


def _took(began_at: datetime, ended_at: datetime) -> str:
    return short_duration(ended_at - began_at)

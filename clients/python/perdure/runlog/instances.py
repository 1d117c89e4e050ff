"""Addresses: the path to a node, and the attempt at it.

As text an instance is `node:visit#attempt`, a mapped one `node[item]:visit#attempt`, and levels are joined by `/`.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from perdure.v1 import instances_pb2

NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""What a node id, and any id that a caller chooses, must match whole."""

_STEP: Final = re.compile(r"(?P<node>[A-Za-z0-9._-]{1,128})(\[(?P<item>\d+)\])?:(?P<visit>[1-9]\d*)")


class Step(NamedTuple):
    """One level of a path. `item` is the index in a mapped list plus one, or 0; `visit` counts from 1."""

    node: str
    visit: int
    item: int = 0

    @property
    def place(self) -> str:
        """Where in the walk of its run: the node, or `node[index]` for an item of a map."""
        return item_place(self.node, self.item - 1) if self.item else self.node

    def __str__(self) -> str:
        return f"{self.place}:{self.visit}"


class Instance(NamedTuple):
    """One try at one place. Two instances are the same place when their paths are equal."""

    path: tuple[Step, ...]
    attempt: int

    @property
    def node(self) -> str:
        """Id of the node in the run's own plan."""
        return self.path[-1].node

    @property
    def place(self) -> str:
        """Where in the run's own walk: the node, or `node[index]` for an item of a map."""
        return self.path[-1].place

    @property
    def visit(self) -> int:
        """How often the walk had come to the node, from 1."""
        return self.path[-1].visit

    def __str__(self) -> str:
        return "/".join(map(str, self.path)) + f"#{self.attempt}"

    def message(self) -> instances_pb2.Instance:
        """The address as it is stored. Shared by all who ask for it, so never to be changed."""
        return _message(self)


@lru_cache(maxsize=8192)
def _message(place: Instance) -> instances_pb2.Instance:
    steps = [instances_pb2.PathStep(node=step.node, visit=step.visit, item=step.item) for step in place.path]
    return instances_pb2.Instance(path=steps, attempt=place.attempt)


def instance(message: instances_pb2.Instance) -> Instance:
    """The address that a stored message holds."""
    path = message.path
    if len(path) == 1:  # nearly always, and twice as fast
        step = path[0]
        return Instance((Step(step.node, step.visit, step.item),), message.attempt)
    return Instance(tuple(Step(step.node, step.visit, step.item) for step in path), message.attempt)


def item_place(node: str, index: int) -> str:
    """The place of an item of a map in its walk. No node has such an id."""
    return f"{node}[{index}]"


def place_of(step: instances_pb2.PathStep) -> str:
    """The place that a stored level of a path names."""
    return item_place(step.node, step.item - 1) if step.item else step.node


def node_of(place: str) -> str:
    """The node that a place belongs to."""
    return place if place[-1] != "]" else place.rpartition("[")[0]


def step_at(place: str, visit: int) -> Step:
    """A visit to a place."""
    if place[-1] != "]":
        return Step(place, visit)
    node, _, index = place[:-1].rpartition("[")
    return Step(node, visit, int(index) + 1)


def parse_instance(text: str) -> Instance:
    """Reads an instance's text form. Raises ValueError naming the form."""
    path_text, mark, attempt = text.rpartition("#")
    steps = [_STEP.fullmatch(step) for step in path_text.split("/")]
    if not mark or not attempt.isdecimal() or int(attempt) < 1 or not all(steps):
        raise ValueError(f"{text!r} is not an attempt; it reads `node:visit#attempt`, such as `publish:1#1`")
    path = tuple(
        Step(step["node"], int(step["visit"]), int(step["item"]) + 1 if step["item"] else 0) for step in steps if step
    )
    return Instance(path, int(attempt))

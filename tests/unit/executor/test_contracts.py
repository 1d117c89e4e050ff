"""What a node requires and ensures, and what is agreed between two: checked where it counts, and told without values."""

import hashlib
import os
import pathlib
from typing import Any

import pytest

from perdure.runlog.plans import WalkPlan
from perdure.v1 import instances_pb2, plans_pb2
from perdure_executor.promised_files import NotAsPromised, PromisedFile, find
from tests.unit.executor.walked import Walked

SECRET = "hunter2"


@pytest.fixture
def walk(plans: Any) -> Any:
    """Walks `a`, which gives what it is told, and then `b`."""

    def begin(gives: Any, *, a: dict[str, Any] | None = None, b: dict[str, Any] | None = None, **edge: Any) -> Walked:
        async def tells(call: Any) -> Any:
            return gives

        async def ends(call: Any) -> None:
            return None

        nodes = [
            plans.node("a", function=plans_pb2.FunctionNode(function="a"), **(a or {})),
            plans.node("b", function=plans_pb2.FunctionNode(function="b"), **(b or {})),
        ]
        edges = [plans_pb2.PlanEdge(source="a", target="b", **edge)]
        return Walked(WalkPlan(plans_pb2.Plan(nodes=nodes, edges=edges, jump_limit=10)), {"a": tells, "b": ends})

    return begin


def ended(walked: Walked) -> tuple[str, str, str]:
    """The cause, the node and the message of the end."""
    event = walked.log[-1].event.run_ended
    cause = instances_pb2.FailureCause.Name(event.node_cause or event.cause).removeprefix("FAILURE_CAUSE_")
    return cause, event.failed.path[-1].node, event.message


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ({"fields": ["token", "count"]}, "count is not there"),
        ({"fields": ["empty"]}, "empty is null"),
        ({"source": "a", "fields": ["count"]}, "nodes.a.count is not there"),
        ({"schema": b'{"properties": {"token": {"type": "integer"}}}'}, "$.token is not of type 'integer'"),
        ({"source": "a", "schema": b'{"required": ["count"]}'}, "nodes.a is not as its schema says"),
    ],
    ids=["a field", "null", "a field of a node", "a schema", "a schema of a node"],
)
async def test_a_node_begins_nothing_where_something_that_it_requires_is_not_there(
    walk: Any, needs: dict[str, Any], said: str
) -> None:
    walked = walk({"token": SECRET, "empty": None}, b={"requires": plans_pb2.Needs(**needs), "iteration_cap": 5})

    await walked.settle()

    cause, node, message = ended(walked)
    assert (cause, node, walked.called) == ("REQUIRES_NOT_MET", "b", ["a"])
    assert said in message
    assert SECRET not in message
    assert walked.violations() == []


@pytest.mark.parametrize(
    ("contract", "said"),
    [
        ({"ensures": ["token", "count"]}, "the edge from a has a contract, and nodes.a.count is not there"),
        ({"requires": ["count"]}, "the edge from a has a contract, and count is not there"),
        ({"schema": b'{"maxProperties": 1}'}, "nodes.a is not as its schema says"),
    ],
)
async def test_a_node_begins_nothing_where_an_edge_to_it_promises_what_is_not_there(
    walk: Any, contract: dict[str, Any], said: str
) -> None:
    walked = walk({"token": SECRET, "empty": None}, contract=plans_pb2.EdgeContract(**contract))

    await walked.settle()

    cause, node, message = ended(walked)
    assert (cause, node, walked.called) == ("REQUIRES_NOT_MET", "b", ["a"])
    assert said in message
    assert walked.violations() == []


async def test_the_contract_of_an_edge_that_was_not_taken_binds_nobody(plans: Any) -> None:
    async def nothing(call: Any) -> None:
        return None

    nodes = [plans.node(name, function=plans_pb2.FunctionNode(function="do")) for name in "abc"]
    edges = [
        plans_pb2.PlanEdge(source="a", target="b", when="true"),
        plans_pb2.PlanEdge(source="a", target="c", otherwise=True, contract=plans_pb2.EdgeContract(ensures=["x"])),
        plans_pb2.PlanEdge(source="b", target="c"),
    ]
    walked = Walked(WalkPlan(plans_pb2.Plan(nodes=nodes, edges=edges, jump_limit=10)), {"do": nothing})

    await walked.settle()

    assert walked.called == ["do", "do", "do"]
    assert walked.violations() == []


async def test_what_is_there_keeps_every_contract(walk: Any) -> None:
    walked = walk(
        {"count": 1},
        a={"ensures": plans_pb2.Promises(fields=["count"], schema=b'{"required": ["count"]}')},
        b={"requires": plans_pb2.Needs(source="a", fields=["count"])},
        contract=plans_pb2.EdgeContract(ensures=["count"], requires=["count"]),
    )

    await walked.settle()

    assert walked.called == ["a", "b"]
    assert walked.violations() == []


@pytest.mark.parametrize(
    ("ensures", "said"),
    [
        ({"fields": ["count"]}, "count is not there"),
        ({"schema": b'{"properties": {"token": {"const": "x"}}}'}, "its output is not as its schema says: $.token"),
        ({"exit_code": 0}, "its exit code is not 0"),
    ],
)
async def test_a_success_that_does_not_keep_its_promise_is_a_failure_that_is_tried_again(
    walk: Any, ensures: dict[str, Any], said: str
) -> None:
    walked = walk({"token": SECRET}, a={"ensures": plans_pb2.Promises(**ensures), "iteration_cap": 2})

    await walked.settle()

    cause, node, message = ended(walked)
    assert (cause, node, walked.called) == ("ENSURES_NOT_MET", "a", ["a", "a"])
    assert said in message
    assert SECRET not in message
    assert walked.violations() == []


async def test_an_effect_that_breaks_its_promise_has_happened_and_is_not_repeated(walk: Any) -> None:
    ensures = plans_pb2.Promises(fields=["count"])
    walked = walk({"ticket": 7}, a={"ensures": ensures, "effect": instances_pb2.EFFECT_AT_MOST_ONCE})

    await walked.settle()

    assert walked.called == ["a"]
    assert ended(walked)[2].endswith("its effect has happened")
    assert "node_in_doubt" not in walked.kinds()
    (given,) = [recorded.event.node_output.json for recorded in walked.log if recorded.event.HasField("node_output")]
    assert given == b'{"ticket":7}'
    assert walked.violations() == []


async def test_an_effect_that_breaks_its_promise_is_repeated_where_its_author_says_so(walk: Any) -> None:
    ensures = plans_pb2.Promises(fields=["count"])
    walked = walk({}, a={"ensures": ensures, "effect": instances_pb2.EFFECT_AT_MOST_ONCE, "iteration_cap": 2})

    await walked.settle()

    assert walked.called == ["a", "a"]
    assert walked.violations() == []


def promised(path: str, **fields: Any) -> PromisedFile:
    return PromisedFile(**{"name": path, "path": path, "min_bytes": 0, "max_bytes": None, "sha256": "", **fields})


def test_files_that_are_as_promised_are_found_with_size_and_digest(tmp_path: pathlib.Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_bytes(b"four")
    digest = hashlib.sha256(b"four")

    (found,) = find(str(tmp_path), [promised("out/a", min_bytes=4, max_bytes=4, sha256=digest.hexdigest().upper())])

    assert (found.path, found.size, found.digest) == ("out/a", 4, digest.digest())


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (promised("none"), "not there"),
        (promised("a", min_bytes=5), "has 4 bytes"),
        (promised("a", max_bytes=3), "has 4 bytes"),
        (promised("a", sha256="0" * 64), "another SHA-256"),
        (promised("folder"), "no file"),
        (promised("../outside"), "no path below"),
        (promised("link"), "leads out"),
        (promised("way/outside"), "leads out"),
        (promised(""), "no path below"),
        (promised("pipe"), "no file"),
    ],
    ids=lambda given: given.path if isinstance(given, PromisedFile) else "",
)
def test_a_file_that_is_another_or_elsewhere_breaks_the_promise(
    tmp_path: pathlib.Path, one: PromisedFile, said: str
) -> None:
    below = tmp_path / "node"
    (below / "folder").mkdir(parents=True)
    (below / "a").write_bytes(b"four")
    (tmp_path / "outside").write_bytes(b"four")
    (below / "link").symlink_to(tmp_path / "outside")
    (below / "way").symlink_to(tmp_path)
    os.mkfifo(below / "pipe")

    with pytest.raises(NotAsPromised, match=said):
        list(find(str(below), [one]))

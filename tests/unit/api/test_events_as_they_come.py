"""An event that no executor sends is refused as it comes, before anybody counts or walks what it says."""

from typing import Any

import pytest

from perdure.runlog.instances import parse_instance
from perdure.v1 import execution_pb2
from perdure.v1.node_events_pb2 import ItemRedo, MapBegun
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.api.work.incoming import read_batch

HERE = parse_instance("each:1#1").message()
SHARD = {
    "count": 3,
    "first_item": 100,
    "done": [100, 102],
    "redos": [ItemRedo(index=index, redo=1) for index in (100, 101)],
}


def refused(**fields: Any) -> str:
    """Why a batch with one map that begins is cut before it; empty where it is not."""
    begun = MapBegun(**{"instance": HERE, "items_digest": b"d" * 32, "count": 3, **fields})
    batch = read_batch(execution_pb2.EventBatch(run_id="r", events=[RunEvent(map_begun=begun)]), 1000)
    return "" if batch.malformed is None else batch.malformed.message


@pytest.mark.parametrize("fields", [{}, {"count": 0}, SHARD, {"count": 10_000, "shard_size": 100}])
def test_a_map_that_may_be_is_taken(fields: dict[str, Any]) -> None:
    assert refused(**fields) == ""


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"count": 101}, "too many"),
        ({"count": 10_001, "shard_size": 100}, "too many"),
        ({"items_digest": b""}, "digest"),
        ({"shard_size": 1}, "another size"),
        ({"shard_size": -100}, "another size"),
        ({"first_item": -1}, "outside"),
        ({"first_item": 2**31 - 1}, "outside"),
        ({"done": range(4)}, "more is left"),
        ({"redos": [ItemRedo(index=1, redo=1)] * 4}, "more is left"),
    ],
)
def test_a_map_that_cannot_be_is_refused(fields: dict[str, Any], word: str) -> None:
    assert word in refused(**fields)

"""A run's events on their way: each says what its holder had seen when it was decided."""

from typing import Any

import pytest

from perdure.v1 import instances_pb2, node_events_pb2, run_events_pb2
from perdure.v1.execution_pb2 import WorkRequest
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor.event_stream import EventStream

PAUSED = RunEvent(run_paused=run_events_pb2.RunPaused())
STARTED = RunEvent(node_started=node_events_pb2.NodeStarted(effect=instances_pb2.EFFECT_NONE))


@pytest.fixture
async def stream() -> EventStream:
    return EventStream("run", "lease", 3, lambda stream: None)


def sent(stream: EventStream) -> Any:
    request = WorkRequest()
    stream.put_batch(request)
    (batch,) = request.batches
    return batch


async def test_a_pause_that_was_decided_before_a_fact_came_does_not_claim_to_have_seen_it(stream: EventStream) -> None:
    stream.append(PAUSED, keep=False)

    stream.seen = 7

    assert sent(stream).seen == 3


async def test_what_was_decided_before_and_after_a_fact_goes_in_two_batches(stream: EventStream) -> None:
    stream.append(STARTED, keep=False)
    stream.append(STARTED, keep=False)
    stream.seen = 7
    stream.append(STARTED, keep=False)

    batches = [sent(stream), sent(stream)]

    assert [(batch.first_ordinal, len(batch.events), batch.seen) for batch in batches] == [(1, 2, 3), (3, 1, 7)]
    assert not stream.has_unsent()


async def test_what_is_sent_again_says_what_it_said_before(stream: EventStream) -> None:
    stream.append(STARTED, keep=False)
    first = sent(stream)
    stream.seen = 7

    stream.reconnected()

    assert sent(stream) == first


async def test_what_is_decided_again_has_seen_the_fact(stream: EventStream) -> None:
    stream.append(PAUSED, keep=False)
    sent(stream)
    stream.seen = 7
    stream.drop_from(1)

    stream.append(STARTED, keep=False)

    assert sent(stream).seen == 7

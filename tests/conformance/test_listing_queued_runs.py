"""Lists of queued runs say of each what keeps it, in one word."""

from typing import Any

from perdure_control_plane.domain.explanation import QueueReason
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.usecases.readings.queue_reasons import queue_reasons
from tests.conformance.test_concurrency_keys import keyed, start
from tests.conformance.test_explaining import AGENT
from tests.conformance.test_queue_limits import BOTH, limit, mailed


async def reasons(house: Any, *run_ids: RunId) -> list[QueueReason | None]:
    found = [await house.run(run_id) for run_id in run_ids]
    said = await house.store.read(lambda tx: queue_reasons(tx, found))
    return [said.get(run_id) for run_id in run_ids]


async def test_of_what_nobody_would_take_it_is_said_what_is_lacking(house: Any) -> None:
    plain, gpu, labelled = await house.start(), await house.start(queue="gpu"), await house.start(labels=("fast",))

    assert await reasons(house, plain) == [QueueReason.NO_EXECUTOR]

    await house.connect()
    await house.connect("old", queues=("gpu",), fold_lowest=0, fold_highest=0)
    other = await house.start(queue="elsewhere")

    assert await reasons(house, plain, gpu, labelled, other) == [
        QueueReason.BEHIND_OTHERS,
        QueueReason.NO_FOLD_VERSION,
        QueueReason.NO_LABEL,
        QueueReason.NO_QUEUE,
    ]


async def test_a_provider_that_has_gone_is_said(house: Any, clock: Any) -> None:
    await house.connect("first", providers=("openai",))
    thinking = await house.start(AGENT)
    clock.advance(31)
    await house.connect("second")

    assert await reasons(house, thinking) == [QueueReason.NO_PROVIDER]


async def test_a_limit_of_the_queue_is_said_and_a_run_at_work_is_kept_by_nothing(house: Any) -> None:
    await limit(house, max_at_work=1)
    first, second = await mailed(house, 2)
    await house.claim(await house.connect(queues=BOTH))

    assert await reasons(house, first, second) == [None, QueueReason.LIMIT]


async def test_a_limit_of_the_key_is_said(house: Any) -> None:
    first, second = await start(house, "prod", keyed(1)), await start(house, "prod", keyed(1))
    await house.claim(await house.connect())

    assert await reasons(house, first, second) == [None, QueueReason.LIMIT]

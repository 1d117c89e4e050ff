"""Which executor is handed which runs: by queue, by labels, and in which order."""

from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from perdure_control_plane.storage.ready_runs import ReadyStatements
from perdure_control_plane.storage.statements import Prepared
from perdure_control_plane.storage.tables import run_queue, runs
from tests.conformance.stores import ON_POSTGRES

LABELLED = """
playbook_id: labelled
version: 1.0.0
title: Labelled
objective: Work at a place that has what it needs
labels: [gpu]
nodes:
  - {id: a, type: function, function: noop, effect: none}
"""


async def test_a_run_is_handed_to_whoever_has_all_the_labels_of_its_start_and_of_its_playbook(house: Any) -> None:
    run_id = await house.start(LABELLED, labels=("site-berlin",))
    taken = {}
    for name, labels in (
        ("nothing", ()),
        ("the-playbooks", ("gpu",)),
        ("the-starts", ("site-berlin",)),
        ("more-than-both", ("gpu", "large", "site-berlin")),
    ):
        executor = await house.connect(name, labels=labels)
        taken[name] = [holder.run_id for holder in await house.claim(executor)]

    assert taken == {"nothing": [], "the-playbooks": [], "the-starts": [], "more-than-both": [run_id]}


async def test_runs_that_an_executor_lacks_a_label_for_do_not_stand_in_the_way_of_those_behind_them(house: Any) -> None:
    for _ in range(30):
        await house.start(labels=("gpu",), priority=1)
    plain = await house.start()
    executor = await house.connect()

    taken = await house.claim(executor, limit=1)

    assert [holder.run_id for holder in taken] == [plain]


async def test_higher_priority_goes_first_and_then_who_was_ready_first(house: Any, clock: Any) -> None:
    started = []
    for priority in (0, -1, 5, 0):
        started.append(await house.start(priority=priority))
        clock.advance(1)
    executor = await house.connect()

    taken = await house.claim(executor)

    assert [holder.run_id for holder in taken] == [started[2], started[0], started[3], started[1]]


@ON_POSTGRES
@pytest.mark.parametrize("statement", ["servable", "with_room"])
async def test_a_claim_reads_the_queue_in_its_order_and_no_further_than_it_must(house: Any, statement: str) -> None:
    await house.start()
    for table in (runs, run_queue):
        (one,) = await house.execute(select(table))
        for hundred in range(20):
            copies = [one._asdict() | {"run_id": f"copy-{hundred}-{number}"} for number in range(100)]
            await house.execute(insert(table).values(copies))
        await house.execute(text(f"ANALYZE {table.name}"))
    prepared: Prepared = getattr(ReadyStatements(dialect()), statement)
    offered = {
        "queues": ["default"],
        "fold_lowest": 1,
        "fold_highest": 1,
        "providers": "[]",
        "labels": "[]",
        "limit": 100,
    }
    limits = {"seen": [], "full_keys": [], "full_counts": [], "at": 0}

    def plan(tx: Any) -> list[str]:
        tx.connection.exec_driver_sql("SET LOCAL enable_seqscan = on")  # which tests of other things do without
        asked = prepared.parameters(offered | (limits if statement == "with_room" else {}))
        return [row[0] for row in tx.connection.exec_driver_sql(f"EXPLAIN {prepared._sql}", asked)]

    steps = "\n".join(await house.store.read(plan))
    for table in (run_queue, runs):
        await house.execute(delete(table).where(table.c.run_id.like("copy-%")))

    assert "Index Scan using ix_run_queue_order" in steps
    assert "Sort" not in steps, steps

"""Which executor is handed which runs: by queue, by labels, and in which order."""

from typing import Any

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

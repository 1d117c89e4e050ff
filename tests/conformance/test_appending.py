"""The append guard: what of a holder's batch is stored, and the five answers."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from perdure.runlog.head import Stop
from perdure.runlog.states import RunState
from perdure.v1 import execution_pb2, fact_events_pb2, instances_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.admission import Ack, Behind, Refused, Rejected, Resend
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.origin import SWEEP
from perdure_control_plane.domain.task import TerminalReason
from perdure_control_plane.storage.tables import tasks
from perdure_control_plane.usecases.pause_run import pause_run
from perdure_control_plane.usecases.resume_run import resume_run
from perdure_control_plane.usecases.stop_run import stop_run
from perdure_control_plane.usecases.take_over import revocation


async def test_a_batch_is_acknowledged_with_its_last_ordinal_and_sequence(house: Any, holder: Any) -> None:
    answer = await holder.send(holder.started("a"), holder.settled("a"))

    assert answer == Ack(ordinal=2, sequence=5)
    assert await house.kinds(holder.run_id) == [
        "run_created",
        "run_input",
        "lease_granted",
        "node_started",
        "node_settled",
    ]


async def test_a_batch_that_is_sent_twice_is_stored_once(house: Any, holder: Any) -> None:
    first = await holder.send(holder.started("a"), holder.settled("a"))
    again = await holder.send(holder.started("a"), holder.settled("a"), first=1)

    assert again == first
    assert (await house.kinds(holder.run_id)).count("node_started") == 1


async def test_of_an_overlapping_batch_only_what_is_new_is_stored(house: Any, holder: Any) -> None:
    await holder.send(holder.started("a"))
    answer = await holder.send(holder.started("a"), holder.settled("a"), first=1)

    assert answer == Ack(ordinal=2, sequence=5)
    assert (await house.kinds(holder.run_id))[3:] == ["node_started", "node_settled"]


async def test_a_gap_is_answered_with_where_to_begin_again(house: Any, holder: Any) -> None:
    answer = await holder.send(holder.settled("a"), first=2)

    assert answer == Resend(from_ordinal=1)
    assert len(await house.kinds(holder.run_id)) == 3


async def test_batches_of_one_run_in_one_commit_are_stored_in_their_order(house: Any, holder: Any) -> None:
    answers = await asyncio.gather(
        holder.send(holder.started("a"), first=1),
        holder.send(holder.settled("a"), first=2),
        holder.send(holder.started("b", "AT_MOST_ONCE"), first=3),
    )

    assert [answer.ordinal for answer in answers] == [1, 2, 3]
    assert (await house.kinds(holder.run_id))[3:] == ["node_started", "node_settled", "node_started"]


async def test_another_lease_is_rejected_and_stores_nothing(house: Any, holder: Any) -> None:
    before = await house.counts()

    answer = await holder.send(holder.started("a"), lease_id="0" * 32)

    assert answer == Rejected()
    assert await house.counts() == before


async def test_an_unknown_run_is_rejected(holder: Any) -> None:
    assert await holder.send(holder.started("a"), run_id="nowhere") == Rejected()


async def test_the_end_gives_the_lease_back_and_its_repetition_is_acknowledged(house: Any, holder: Any) -> None:
    await holder.node("a")
    await holder.node("b", effect="AT_MOST_ONCE")
    first = await holder.send(holder.ended())
    again = await holder.send(holder.ended(), first=5)

    assert first == again == Ack(ordinal=5, sequence=8)
    run = await house.run(holder.run_id)
    assert (run.head.state, run.head.lease_id) == (RunState.COMPLETED, None)


async def test_nothing_is_stored_after_the_end(house: Any, holder: Any) -> None:
    await holder.send(holder.ended())

    assert await holder.send(holder.started("a")) == Rejected()
    assert (await house.kinds(holder.run_id))[-1] == "run_ended"


async def test_an_end_that_has_not_seen_a_fact_is_behind(house: Any, holder: Any) -> None:
    await holder.send(holder.started("a"), holder.settled("a"))
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.CANCEL, "", "")

    answer = await holder.send(holder.ended())

    assert answer == Behind(from_ordinal=3, seen=holder.seen)
    assert (await house.run(holder.run_id)).head.state is RunState.RUNNING


async def test_outcomes_are_stored_in_front_of_what_has_not_seen_a_fact(house: Any, holder: Any) -> None:
    await holder.send(holder.started("a"))
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.CANCEL, "", "")

    answer = await holder.send(holder.settled("a"), holder.started("b"))

    assert answer == Behind(from_ordinal=3, seen=holder.seen)
    assert (await house.kinds(holder.run_id))[-1] == "node_settled"


async def test_after_seeing_the_fact_the_same_ordinals_are_used_under_a_raised_tail(house: Any, holder: Any) -> None:
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.CANCEL, "", "")
    behind = await holder.send(holder.started("a"))
    seen = (await house.run(holder.run_id)).head.outside_sequence

    answer = await holder.send(holder.ended("CANCELLED", cause=19), first=1, tail=1, seen=seen)

    assert isinstance(behind, Behind)
    assert isinstance(answer, Ack)
    assert (await house.run(holder.run_id)).head.state is RunState.CANCELLED


async def test_nothing_is_stored_of_a_dropped_tail(house: Any, holder: Any) -> None:
    await holder.send(holder.started("a"), tail=2)

    answer = await holder.send(holder.settled("a"), tail=1)

    assert answer == Behind(from_ordinal=2, seen=holder.seen)
    assert (await house.kinds(holder.run_id))[-1] == "node_started"


async def test_what_was_answered_as_behind_is_not_stored_when_nothing_forbids_it_any_more(
    house: Any, holder: Any
) -> None:
    await pause_run(house.store, OPEN_CALLER, holder.run_id, "", "")
    batch = holder.batch(holder.started("a"), holder.settled("a"))
    behind = await house.append(batch)
    await resume_run(house.store, OPEN_CALLER, holder.run_id, "", "")
    seen = (await house.run(holder.run_id)).head.outside_sequence

    again = await house.append(batch)
    raised = await holder.send(holder.started("b"), first=1, tail=1, seen=seen)

    assert behind == again == Behind(from_ordinal=1, seen=holder.seen)
    assert isinstance(raised, Ack)
    assert raised.ordinal == 1
    assert (await house.kinds(holder.run_id))[-1] == "node_started"


async def test_beginning_under_a_stop_that_the_holder_knows_of_is_refused(house: Any, holder: Any) -> None:
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.INTERRUPT, "", "")
    seen = (await house.run(holder.run_id)).head.outside_sequence

    answer = await holder.send(holder.started("a"), seen=seen)

    assert isinstance(answer, Refused)
    assert answer.reason == execution_pb2.REFUSAL_REASON_ILLEGAL_STATE


async def test_work_that_ran_ahead_of_a_stop_is_stored_with_its_settlement(house: Any, holder: Any) -> None:
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.INTERRUPT, "", "")
    seen = (await house.run(holder.run_id)).head.outside_sequence

    answer = await holder.send(holder.started("a", ran_ahead=True), holder.settled("a"), seen=seen)

    assert isinstance(answer, Ack)
    assert (await house.kinds(holder.run_id))[-2:] == ["node_started", "node_settled"]


async def test_work_that_may_not_be_repeated_never_runs_ahead(house: Any, holder: Any) -> None:
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.INTERRUPT, "", "")
    seen = (await house.run(holder.run_id)).head.outside_sequence

    answer = await holder.send(holder.started("b", "AT_MOST_ONCE", ran_ahead=True), seen=seen)

    assert isinstance(answer, Refused)


async def test_a_synchronising_event_stands_last_in_its_batch(house: Any, holder: Any) -> None:
    answer = await holder.send(holder.ended(), holder.started("a"))

    assert isinstance(answer, Refused)
    assert answer.reason == execution_pb2.REFUSAL_REASON_SYNCHRONISING_NOT_LAST
    assert len(await house.kinds(holder.run_id)) == 3


async def test_a_holder_cannot_append_what_is_the_control_planes(house: Any, holder: Any) -> None:
    granted = run_events_pb2.LeaseGranted(lease_id="mine", epoch=2)
    placed = fact_events_pb2.FactRecorded(hold_placed=fact_events_pb2.HoldPlaced(cause=1))

    for forged in (RunEvent(lease_granted=granted), RunEvent(fact_recorded=placed)):
        answer = await holder.send(forged, first=1)

        assert isinstance(answer, Refused)
        assert answer.reason == execution_pb2.REFUSAL_REASON_MALFORMED


async def test_a_payload_over_the_limit_is_refused_and_what_came_before_it_is_stored(house: Any, holder: Any) -> None:
    from perdure.v1 import node_events_pb2

    output = node_events_pb2.NodeOutput(instance=holder.started("a").node_started.instance, json=b"x" * 3_000_000)

    answer = await holder.send(holder.started("a"), RunEvent(node_output=output), holder.settled("a"))

    assert isinstance(answer, Refused)
    assert (answer.from_ordinal, answer.reason) == (2, execution_pb2.REFUSAL_REASON_PAYLOAD_TOO_LARGE)
    assert (await house.kinds(holder.run_id))[-1] == "node_started"


async def test_an_event_without_a_whole_address_is_refused(holder: Any) -> None:
    event = holder.started("a")
    event.node_started.instance.attempt = 0

    answer = await holder.send(event)

    assert isinstance(answer, Refused)
    assert "address" in answer.message


@pytest.mark.parametrize("kind", ["node_started", "wait_opened", "log_line", "run_ended"])
async def test_an_address_that_cannot_be_read_again_is_refused(house: Any, holder: Any, kind: str) -> None:
    event = {
        "node_started": holder.started("a"),
        "wait_opened": holder.asks("a")[1],
        "log_line": holder.log_line("a", "a line"),
        "run_ended": holder.ended("FAILED", failed=instances_pb2.Instance()),
    }[kind]
    body = getattr(event, kind)
    address = body.failed if kind == "run_ended" else body.instance
    before = await house.counts()

    for step in (("a b", 1, 0), ("", 1, 0), ("a" * 129, 1, 0), ("a", 0, 0), ("a", 1, -1)):
        unfit = instances_pb2.PathStep(node=step[0], visit=step[1], item=step[2])
        address.CopyFrom(instances_pb2.Instance(path=[unfit], attempt=1))
        answer = await holder.send(event, first=1)

        assert isinstance(answer, Refused)
        assert answer.reason == execution_pb2.REFUSAL_REASON_MALFORMED
        assert "address" in answer.message
    assert await house.counts() == before


async def test_a_row_that_somebody_else_has_moved_is_read_again(house: Any, holder: Any) -> None:
    await holder.send(holder.started("a"))
    placed = fact_events_pb2.HoldPlaced(cause=fact_events_pb2.HOLD_CAUSE_OPERATOR)
    await _record(house, holder.run_id, placed)

    answer = await holder.send(holder.settled("a"))

    assert answer == Ack(ordinal=2, sequence=6)
    assert (await house.kinds(holder.run_id))[-2:] == ["fact_recorded", "node_settled"]


async def _record(house: Any, run_id: Any, placed: Any) -> None:
    from perdure_control_plane.domain.origin import requested_by

    recorded = RunEvent(fact_recorded=fact_events_pb2.FactRecorded(hold_placed=placed))
    await house.store.write(lambda tx: tx.log.append(tx.runs.get(run_id), [recorded], requested_by(OPEN_CALLER)))


async def test_a_run_that_is_given_back_goes_to_the_next_and_its_repetition_is_acknowledged(
    house: Any, holder: Any
) -> None:
    await holder.node("a")
    given_back = await holder.send(holder.returned())

    run = await house.run(holder.run_id)
    (next_holder,) = await house.claim(await house.connect("y"))
    answer = await holder.send(holder.returned(), first=3)
    assert (run.head.state, run.head.fruitless_takeovers) == (RunState.QUEUED, 0)
    assert [type(answer), answer.ordinal] == [Ack, given_back.ordinal]
    assert await holder.send(holder.started("b", "AT_MOST_ONCE"), first=4) == Rejected()
    assert next_holder.claimed.run.head.epoch > holder.claimed.run.head.epoch


@pytest.mark.parametrize("letting_go", ["returned", "paused"])
async def test_a_run_is_not_let_go_of_while_a_guarded_effect_is_under_way(
    house: Any, holder: Any, letting_go: str
) -> None:
    await holder.send(holder.started("b", "AT_MOST_ONCE"))

    answer = await holder.send(getattr(holder, letting_go)())

    assert isinstance(answer, Refused)
    assert (await house.run(holder.run_id)).head.state is RunState.RUNNING


async def test_a_run_is_let_go_of_when_the_guarded_effect_is_settled(house: Any, holder: Any) -> None:
    await holder.node("b", effect="AT_MOST_ONCE")

    answer = await holder.send(holder.returned())

    assert isinstance(answer, Ack)


async def test_a_run_that_goes_from_one_lease_to_another_in_one_commit_loses_what_was_under_way(
    house: Any, holder: Any
) -> None:
    await holder.send(holder.started("a", command="echo"))
    run = await house.run(holder.run_id)
    revoked = revocation(run, run_events_pb2.REVOCATION_CAUSE_STORE_RESTORED)
    granted = run_events_pb2.LeaseGranted(
        lease_id="another", epoch=run.head.epoch + 2, executor_id="y", incarnation="y-process", generation=1
    )

    both = [revoked, RunEvent(lease_granted=granted)]
    run = await house.store.write(lambda tx: tx.log.append(run, both, SWEEP))

    assert (run.head.state, run.head.lease_id) == (RunState.RUNNING, "another")
    assert await house.execute(select(tasks.c.terminal_reason)) == [(TerminalReason.EXECUTOR_LOST,)]


async def test_a_command_that_never_began_is_over_with_its_attempt(house: Any, holder: Any, clock: Any) -> None:
    stopped = {"outcome": instances_pb2.OUTCOME_STOPPED, "cause": instances_pb2.FAILURE_CAUSE_STOPPED}
    await holder.send(holder.started("a", command="echo"), holder.settled("a", **stopped))
    over = await house.execute(select(tasks.c.state, tasks.c.terminal_reason, tasks.c.ended_at))
    clock.advance(5)

    await holder.send(holder.returned())

    assert [tuple(row)[:2] for row in over] == [("FAILED", TerminalReason.STOPPED)]
    assert await house.execute(select(tasks.c.state, tasks.c.terminal_reason, tasks.c.ended_at)) == over

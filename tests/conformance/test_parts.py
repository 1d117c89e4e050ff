"""Part runs: begun with what the parent's plan has for them, where it says, and at the parent's own place."""

import hashlib
from typing import Any

import pytest

from perdure.runlog.effects import child_run_id
from perdure.runlog.instances import Instance, Step, instance
from perdure.runlog.intents import Start
from perdure.runlog.plans import WalkPlan, read_plan
from perdure.runlog.starting import child_start, planned_child
from perdure.runlog.states import RunState
from perdure.runlog.walk import Walk
from perdure.v1 import execution_pb2, fact_events_pb2, instances_pb2, node_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.admission import Ack, Refused, Rejected
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.explanation import AwaitedChild, Lack, Unserved
from perdure_control_plane.domain.flow import FlowStatus
from perdure_control_plane.domain.ids import PlaybookId, RunId
from perdure_control_plane.usecases.deliver_messages import deliver_messages
from perdure_control_plane.usecases.explain_run import explain_run
from perdure_control_plane.usecases.revoke_playbook_version import Revoking, revoke_playbook_version
from perdure_control_plane.usecases.view_flow import get_flow
from tests.conformance.conftest import place

ELSEWHERE = """
playbook_id: elsewhere
version: 1.0.0
title: Elsewhere
objective: Have one thing done elsewhere
labels: [site]
nodes:
  - {id: far, type: function, function: noop, effect: at_most_once, queue: gpu, labels: [large], inputs: {n: "{{ n }}"},
     on_failure: {max_iterations: 3}, retry: {initial_seconds: 60, jitter: 0}}
  - {id: near, type: function, function: noop}
  - {id: many, type: map, items: list, node: {type: function, function: noop}}
"""

GIVEN = b'{"n":1}'


class Pair:
    """A run that an executor holds, and the part that it begins."""

    def __init__(self, house: Any, holder: Any) -> None:
        self.house = house
        self.parent = holder
        self.where = instance(holder.started("far").node_started.instance)
        self.part_id = RunId(child_run_id(holder.run_id, self.where))

    async def plan(self) -> WalkPlan:
        """The parent's plan."""
        digest = (await self.house.run(self.parent.run_id)).identity.plan_digest
        return read_plan(await self.house.store.read(lambda tx: tx.playbooks.plan(digest)), digest)

    async def begins(self, **other: Any) -> RunEvent:
        """The event that begins the part, `other` fields than its plan has apart."""
        plan = await self.plan()
        start = Start(plan.nodes["far"], self.where, 0, 0.0)
        given = hashlib.sha256(GIVEN).digest()
        started = child_start(Walk(plan), self.parent.run_id, start, given)
        for field in other:
            started.ClearField(field)  # type: ignore[arg-type]  # the tests' own names
        started.MergeFrom(fact_events_pb2.ChildStarted(**other))
        started.run_id = child_run_id(self.parent.run_id, instance(started.instance))
        return RunEvent(child_started=started)

    async def begin(self, *more: RunEvent) -> Any:
        arguments = node_events_pb2.RenderedArguments(instance=self.where.message(), json=GIVEN)
        return await self.parent.send(RunEvent(rendered_arguments=arguments), await self.begins(), *more)

    async def deliver(self) -> None:
        assert (await deliver_messages(self.house.store)).failed == {}


@pytest.fixture
async def pair(house: Any) -> Pair:
    await house.start(ELSEWHERE)
    (holder,) = await house.claim(await house.connect(labels=("site",)))
    return Pair(house, holder)


async def test_a_part_waits_in_its_queue_with_all_labels_at_the_place_of_its_parent(house: Any, pair: Pair) -> None:
    await pair.begin(pair.parent.paused())

    part, parent = await house.run(pair.part_id), await house.run(pair.parent.run_id)
    events = await house.store.read(lambda tx: tx.events.after(pair.part_id, 0, limit=9, max_bytes=9999))
    others = await house.claim(await house.connect("y", queues=("gpu",), labels=("large",)))
    able = await house.claim(await house.connect("z", queues=("gpu",), labels=("large", "more", "site")))
    status = (await get_flow(house.store, parent.identity.flow_id)).status
    created = events[0].event.run_created
    assert (part.identity.queue, part.identity.labels, part.identity.part_instance) == (
        "gpu",
        ("large", "site"),
        "far:1#1",
    )
    assert (list(created.lineage.prefix), created.lineage.parent_run_id) == ([], parent.run_id)
    assert events[1].event.run_input.json == GIVEN
    assert (others, [one.run_id for one in able]) == ([], [pair.part_id])
    assert (parent.head.state, status) == (RunState.PAUSED, FlowStatus.RUNNING)


@pytest.mark.parametrize("revoked", [False, True])
async def test_a_part_is_begun_where_the_plan_has_it_also_when_that_is_revoked(
    house: Any, pair: Pair, revoked: bool
) -> None:
    if revoked:
        version = await house.store.read(lambda tx: tx.playbooks.get_version(PlaybookId("elsewhere"), "1.0.0"))
        revoking = Revoking(version.playbook_id, version.version, version.digest, "unsafe", (), "")
        await revoke_playbook_version(house.store, OPEN_CALLER, revoking)

    assert isinstance(await pair.begin(), Ack)


OTHER_PARTS = {
    "another plan": {"plan_digest": b"p" * 32},
    "another queue": {"queue": "cpu"},
    "fewer labels": {"labels": ["site"]},
    "another playbook": {"playbook_id": "other"},
    "another version": {"playbook_version": "2.0.0"},
    "a time limit": {"timeout": {"seconds": 5}},
    "a shard of what is no list": {"shard": {"max_parallel": 1}},
    "a node that is done in place": {"instance": place("near")},
    "a node that is none": {"instance": place("nowhere")},
    "a list as a whole": {"instance": place("many")},
}


@pytest.mark.parametrize("other", OTHER_PARTS.values(), ids=list(OTHER_PARTS))
async def test_a_part_that_the_plan_of_its_parent_does_not_have_is_refused(
    house: Any, pair: Pair, other: dict[str, Any]
) -> None:
    lie = await pair.begins(**other)

    refused = await pair.parent.send(lie)

    assert isinstance(refused, Refused)
    assert refused.reason == execution_pb2.REFUSAL_REASON_CHILD_REFUSED
    assert await house.store.read(lambda tx: tx.runs.find(RunId(lie.child_started.run_id))) is None


async def test_a_shard_is_begun_with_its_share_of_the_lists_limits_and_not_without(pair: Pair) -> None:
    plan, where = await pair.plan(), Instance((Step("many", 1, 1),), 1)
    shard = planned_child(plan, pair.parent.run_id, where, plan.shard("many"))
    shard.input_digest = hashlib.sha256(GIVEN).digest()
    arguments = node_events_pb2.RenderedArguments(instance=where.message(), json=GIVEN)

    without = await pair.parent.send(RunEvent(rendered_arguments=arguments), RunEvent(child_started=shard))
    shard.shard.max_parallel = 1
    begun = await pair.parent.send(RunEvent(child_started=shard), first=2, tail=1)

    assert (type(without), type(begun)) == (Refused, Ack)


async def test_a_run_says_why_its_part_does_not_go_on(house: Any, pair: Pair) -> None:
    await pair.begin(pair.parent.paused())

    found = await explain_run(house.store, house.timing, pair.parent.run_id)

    child, unserved = found.reasons
    assert isinstance(child.why, AwaitedChild)
    assert child.part is None
    assert isinstance(unserved.why, Unserved)
    assert (unserved.why.lack, unserved.part and unserved.part.run_id) == (Lack.QUEUE, pair.part_id)


async def test_what_became_of_a_part_is_told_with_the_key_that_it_ended_with(house: Any, pair: Pair) -> None:
    await pair.begin(pair.parent.paused())
    (part,) = await house.claim(await house.connect("z", queues=("gpu",), labels=("large", "site")))
    await part.send(part.started("far", "AT_MOST_ONCE", redo=2))
    await part.send(part.settled("far", "AT_MOST_ONCE", outcome=instances_pb2.OUTCOME_FAILED, cause=1))
    await part.send(part.ended("FAILED", cause=1))

    await pair.deliver()

    events = await house.store.read(
        lambda tx: tx.events.of_kinds(pair.parent.run_id, ["fact_recorded"], after=0, limit=9)
    )
    assert [one.event.fact_recorded.child_ended.redo for one in events] == [2]


async def test_a_run_backs_off_before_it_begins_another_part_and_goes_on_after_that(
    house: Any, pair: Pair, clock: Any
) -> None:
    await pair.begin(pair.parent.paused())
    (part,) = await house.claim(await house.connect("z", queues=("gpu",), labels=("large", "site")))
    await part.send(part.ended("FAILED", cause=1))
    await pair.deliver()
    (holder,) = await house.claim(await house.connect("x", labels=("site",)))
    fact = (await house.run(holder.run_id)).head.outside_sequence
    failed = holder.settled("far", outcome=instances_pb2.OUTCOME_FAILED, cause=1)
    pause = fact_events_pb2.WaitOpened(instance=pair.where.message(), backoff=fact_events_pb2.BackoffWait())
    pause.timeout.FromSeconds(60)
    taken = RunEvent(fact_taken_up=fact_events_pb2.FactTakenUp(sequence=fact))

    answer = await holder.send(taken, failed, RunEvent(wait_opened=pause), holder.paused(), seen=fact)
    clock.advance(61)
    await house.sweep()

    assert isinstance(answer, Ack)
    assert (await house.run(holder.run_id)).head.state is RunState.QUEUED
    assert await house.differences() == []


async def test_a_part_of_a_run_that_the_store_has_lost_is_begun_by_nobody(house: Any, pair: Pair) -> None:
    lost = RunId("0" * 32)
    begins = await pair.begins()
    begins.child_started.run_id = child_run_id(lost, pair.where)

    answer = await pair.parent.send(begins, run_id=lost)

    assert answer == Rejected()

"""Child runs: begun with the event that starts them, told to stop and to go on, and their ends told once."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from perdure.runlog.effects import child_run_id
from perdure.runlog.head import Stop
from perdure.runlog.instances import instance
from perdure.runlog.states import RunState
from perdure.v1 import execution_pb2, fact_events_pb2, instances_pb2, node_events_pb2, plans_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.admission import Ack, Refused
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import ParentDoesNotWait, StoreUnavailable
from perdure_control_plane.domain.flow import FlowStatus
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.playbook import Publication
from perdure_control_plane.domain.queries import RunFilter
from perdure_control_plane.usecases.continue_run import Continuing, continue_run
from perdure_control_plane.usecases.deliver_messages import deliver_messages
from perdure_control_plane.usecases.hold_flow import HoldingFlow, pause_flow, resume_flow
from perdure_control_plane.usecases.stop_run import stop_run
from perdure_control_plane.usecases.view_flow import get_flow

PARENT = """
playbook_id: parent
version: 1.0.0
title: A parent
objective: Have it done
nodes:
  - {id: child, type: playbook, playbook_id: line, version: 1.0.0, inputs: {n: 1}}
  - {id: after, type: function, function: noop, effect: none, depends: [child]}
"""


class Family:
    """A parent that an executor holds, and the child that it starts."""

    def __init__(self, house: Any, holder: Any) -> None:
        self.house = house
        self.parent = holder
        self.where = holder.started("child").node_started.instance
        self.child_id = RunId(child_run_id(holder.run_id, instance(self.where)))
        self.child: Any = None

    async def begins(self) -> "RunEvent":
        """The event that starts the child."""
        run = await self.house.run(self.parent.run_id)
        stored = await self.house.store.read(lambda tx: tx.playbooks.plan(run.identity.plan_digest))
        spec = plans_pb2.Plan.FromString(stored).nodes[0].playbook
        started = fact_events_pb2.ChildStarted(
            instance=self.where,
            run_id=self.child_id,
            playbook_id=spec.playbook_id,
            playbook_version=spec.version,
            plan_digest=spec.plan_digest,
            input_digest=hashlib.sha256(b'{"n":1}').digest(),
        )
        return RunEvent(child_started=started)

    def given(self) -> RunEvent:
        arguments = node_events_pb2.RenderedArguments(instance=self.where, json=b'{"n":1}')
        return RunEvent(rendered_arguments=arguments)

    async def begin(self, *, pause: bool = True) -> "Family":
        """Starts the child; the parent then waits for nothing else."""
        await self.parent.send(self.given(), await self.begins())
        if pause:
            assert isinstance(await self.parent.send(self.parent.paused()), Ack)
        return self

    async def claim(self) -> Any:
        """Gives the child to the executor."""
        (self.child,) = await self.house.claim(await self.house.connect())
        assert self.child.run_id == self.child_id
        return self.child

    async def states(self) -> tuple[RunState, RunState]:
        """Of parent and child."""
        parent, child = await self.house.run(self.parent.run_id), await self.house.run(self.child_id)
        return parent.head.state, child.head.state

    async def facts(self) -> list[fact_events_pb2.ChildEnded]:
        """The ends of children that the parent was told of."""
        events = await self.house.store.read(
            lambda tx: tx.events.of_kinds(self.parent.run_id, ["fact_recorded"], after=0, limit=100)
        )
        recorded = [one.event.fact_recorded for one in events]
        return [fact.child_ended for fact in recorded if fact.HasField("child_ended")]

    async def continues(self, run_id: RunId, **fields: Any) -> Any:
        head = (await self.house.run(run_id)).head
        asked = {"reopen": "", "extra_attempts": 0, "timeout_micros": 0, "reason": "", "request_id": "", **fields}
        return await continue_run(
            self.house.store, OPEN_CALLER, Continuing(run_id, answers_sequence=head.ended_sequence, **asked)
        )

    async def stops(self, run_id: RunId, kind: Stop) -> None:
        await stop_run(self.house.store, OPEN_CALLER, run_id, kind, "", "")

    async def status(self) -> FlowStatus:
        flow_id = (await self.house.run(self.parent.run_id)).identity.flow_id
        return (await get_flow(self.house.store, flow_id)).status

    async def deliver(self) -> int:
        delivered = await deliver_messages(self.house.store)
        assert delivered.failed == {}
        return delivered.told


@pytest.fixture
async def family(house: Any, manifests: Any) -> Family:
    await house.published(manifests["line"])
    await house.start(PARENT)
    (holder,) = await house.claim(await house.connect())
    return Family(house, holder)


async def test_a_child_begins_in_the_commit_that_starts_it_with_what_it_is_given(house: Any, family: Family) -> None:
    await family.begin()

    child, parent = await house.run(family.child_id), await house.run(family.parent.run_id)
    session = await house.store.read(lambda tx: tx.sessions.get(child.identity.session_id))
    agent = await house.store.read(lambda tx: tx.sessions.get_agent(child.identity.agent_id))
    events = await house.store.read(lambda tx: tx.events.after(family.child_id, 0, limit=9, max_bytes=9999))
    listed = await house.store.read(lambda tx: tx.runs.page(RunFilter(parent_run_id=parent.run_id), None, 10))
    assert await family.states() == (RunState.PAUSED, RunState.QUEUED)
    assert child.identity.parent_run_id == agent.spawned_by_run_id == parent.run_id
    assert child.identity.lineage_id == parent.identity.lineage_id
    assert session.parent_session_id == parent.identity.session_id
    assert list(events[0].event.run_created.lineage.prefix) == list(family.where.path)
    assert events[1].event.run_input.json == b'{"n":1}'
    assert [run.run_id for run in listed] == [family.child_id]
    assert await family.status() is FlowStatus.RUNNING


@pytest.mark.parametrize("revoked", [False, True])
async def test_a_child_that_is_said_again_begins_once(house: Any, family: Family, revoked: bool) -> None:
    await family.begin(pause=False)
    if revoked:
        await house.revoke("line")

    answer = await family.parent.send(family.given(), await family.begins(), first=1)

    assert isinstance(answer, Ack)
    assert (await house.kinds(family.child_id)).count("run_created") == 1


async def test_a_child_whose_playbook_was_revoked_is_refused_and_its_parent_alone(house: Any, family: Family) -> None:
    other = await house.start()
    (held,) = await house.claim(await house.connect())
    await house.revoke("line")

    answers = await asyncio.gather(
        family.parent.send(family.given(), await family.begins()), held.send(held.started("a"))
    )

    assert isinstance(answers[0], Refused)
    assert answers[0].reason == execution_pb2.REFUSAL_REASON_CHILD_REFUSED
    assert Publication.REVOKED.value in answers[0].message
    assert isinstance(answers[1], Ack)
    assert (await house.kinds(family.parent.run_id))[-1] == "rendered_arguments"
    assert await house.store.read(lambda tx: tx.runs.find(family.child_id)) is None
    assert (await house.run(other)).head.last_sequence == 4


async def test_a_child_is_not_begun_under_a_stop_that_its_parents_holder_knows_of(house: Any, family: Family) -> None:
    await family.stops(family.parent.run_id, Stop.INTERRUPT)
    seen = (await house.run(family.parent.run_id)).head.outside_sequence

    answer = await family.parent.send(family.given(), await family.begins(), seen=seen)

    assert isinstance(answer, Refused)
    assert await house.store.read(lambda tx: tx.runs.find(family.child_id)) is None


async def test_a_childs_end_is_told_once_whoever_delivers_it(house: Any, family: Family) -> None:
    await (await family.begin()).claim()
    left = RunEvent(run_output=run_events_pb2.RunOutput(json=b'{"n":2}'))
    await family.child.send(left, family.child.ended(output_digest=hashlib.sha256(b'{"n":2}').digest()))

    told = await asyncio.gather(family.deliver(), family.deliver())

    assert sum(told) == 1
    assert [(end.run_id, end.stale) for end in await family.facts()] == [(family.child_id, False)]
    assert (await house.kinds(family.parent.run_id))[-2:] == ["fact_content", "fact_recorded"]
    assert await family.states() == (RunState.QUEUED, RunState.COMPLETED)
    assert await family.deliver() == 0


async def test_what_a_server_that_died_had_yet_to_tell_is_told_once_by_the_next(
    family: Family, anew: Callable[[], Awaitable[None]]
) -> None:
    await (await family.begin()).claim()
    await family.child.send(family.child.ended())
    before = await family.facts()

    await anew()
    told = [await family.deliver(), await family.deliver()]

    assert (before, told) == ([], [1, 0])
    assert [(end.run_id, end.stale) for end in await family.facts()] == [(family.child_id, False)]
    assert await family.states() == (RunState.QUEUED, RunState.COMPLETED)


async def test_a_stop_that_was_stored_reaches_the_children_though_the_server_died_after_it(
    family: Family, anew: Callable[[], Awaitable[None]]
) -> None:
    await family.begin()
    await family.stops(family.parent.run_id, Stop.CANCEL)
    before = await family.states()

    await anew()
    told = [await family.deliver(), await family.deliver(), await family.deliver()]

    assert before == (RunState.CANCELLED, RunState.QUEUED)
    assert await family.states() == (RunState.CANCELLED, RunState.CANCELLED)
    assert (told, [end.stale for end in await family.facts()]) == ([1, 1, 0], [True])


async def test_a_store_that_is_away_is_no_failure_of_the_run_that_was_to_be_told(
    house: Any, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await family.begin()).claim()
    await family.child.send(family.child.ended())

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("a store", "it is away")

    with monkeypatch.context() as patched:
        patched.setattr(house.store, "write", away)
        with pytest.raises(StoreUnavailable):
            await deliver_messages(house.store)

    assert await family.deliver() == 1


@pytest.mark.parametrize(
    ("kind", "parents", "childs"),
    [
        (Stop.CANCEL, RunState.CANCELLED, RunState.CANCELLED),
        (Stop.INTERRUPT, RunState.INTERRUPTED, RunState.INTERRUPTED),
        (Stop.DEADLINE, RunState.TIMED_OUT, RunState.INTERRUPTED),
    ],
)
async def test_a_stop_reaches_the_child_and_its_end_is_kept_and_counts_for_nothing(
    family: Family, kind: Stop, parents: RunState, childs: RunState
) -> None:
    await family.begin()

    await family.stops(family.parent.run_id, kind)
    await family.deliver()
    await family.deliver()

    assert await family.states() == (parents, childs)
    assert all(end.stale for end in await family.facts())


async def test_a_parent_is_told_that_an_effect_of_its_child_is_in_doubt(house: Any, family: Family, clock: Any) -> None:
    await (await family.begin()).claim()
    await family.child.send(family.child.started("a", "AT_MOST_ONCE"))
    await family.stops(family.child_id, Stop.DEADLINE)

    await house.sweep()
    for _ in range(house.timing.stop_grace // SECOND + 1):
        clock.advance(1)
        await house.sweep()
    await family.deliver()

    assert await family.states() == (RunState.QUEUED, RunState.TIMED_OUT)
    assert [(end.in_doubt, end.stale) for end in await family.facts()] == [(True, False)]


async def test_a_stop_that_a_holder_has_not_carried_out_reaches_the_child_before(family: Family) -> None:
    await family.begin(pause=False)

    await family.stops(family.parent.run_id, Stop.INTERRUPT)
    await family.deliver()

    assert await family.states() == (RunState.RUNNING, RunState.INTERRUPTED)


async def test_a_parent_that_is_continued_continues_its_child(house: Any, family: Family) -> None:
    await (await family.begin()).claim()
    await family.stops(family.parent.run_id, Stop.INTERRUPT)
    await family.deliver()

    await family.continues(family.parent.run_id)
    waiting = await family.deliver()
    asked = (await house.run(family.child_id)).head
    await family.child.send(family.child.ended("INTERRUPTED"), seen=asked.last_sequence)
    await family.deliver()

    assert waiting == 0
    assert await family.states() == (RunState.QUEUED, RunState.QUEUED)
    assert (await house.run(family.parent.run_id)).head.open_waits == 1
    assert await family.facts() == []


@pytest.mark.parametrize("by_its_node", [True, False], ids=["limited by its node", "limited when it was continued"])
async def test_a_child_whose_time_passed_while_its_parent_stood_still_is_given_it_anew(
    house: Any, family: Family, clock: Any, by_its_node: bool
) -> None:
    started = await family.begins()
    if by_its_node:
        started.child_started.timeout.FromSeconds(5)
    await family.parent.send(family.given(), started, family.parent.paused())
    if not by_its_node:
        await family.stops(family.child_id, Stop.INTERRUPT)
        await family.continues(family.child_id, timeout_micros=5_000_000)
    await family.stops(family.parent.run_id, Stop.INTERRUPT)
    await family.deliver()
    clock.advance(6)

    await family.continues(family.parent.run_id)
    await family.deliver()
    continued = await house.store.read(lambda tx: tx.now)
    await house.sweep()

    assert await family.states() == (RunState.QUEUED, RunState.QUEUED)
    assert (await house.run(family.child_id)).head.deadline_at == continued + 5_000_000


async def test_a_child_that_ended_by_itself_while_its_parent_stood_still_is_told_when_that_goes_on(
    family: Family,
) -> None:
    await (await family.begin()).claim()
    await family.stops(family.parent.run_id, Stop.INTERRUPT)
    await family.child.send(family.child.ended())
    await family.deliver()

    await family.continues(family.parent.run_id)
    await family.deliver()

    assert [end.stale for end in await family.facts()] == [True, False]
    assert await family.states() == (RunState.QUEUED, RunState.COMPLETED)


async def test_a_child_that_was_cancelled_meanwhile_is_not_waited_for_again(house: Any, family: Family) -> None:
    await family.begin()
    await family.stops(family.parent.run_id, Stop.INTERRUPT)
    await family.deliver()
    await family.stops(family.child_id, Stop.CANCEL)
    await family.deliver()

    await family.continues(family.parent.run_id)

    assert (await house.run(family.parent.run_id)).head.open_waits == 0


async def test_a_child_is_not_continued_behind_the_back_of_its_parent(family: Family) -> None:
    await family.begin()
    await family.stops(family.parent.run_id, Stop.INTERRUPT)
    await family.deliver()

    with pytest.raises(ParentDoesNotWait, match=f"continue runs/{family.parent.run_id}"):
        await family.continues(family.child_id)


async def test_a_child_that_an_operator_interrupts_is_waited_for_and_continued_alone(family: Family) -> None:
    await family.begin()

    await family.stops(family.child_id, Stop.INTERRUPT)
    told, status = await family.deliver(), await family.status()
    await family.continues(family.child_id)

    assert told == 0
    assert status is FlowStatus.WAITING
    assert await family.states() == (RunState.PAUSED, RunState.QUEUED)


async def test_a_jump_over_the_node_cancels_the_child_and_its_end_is_stale(family: Family) -> None:
    await family.begin(pause=False)
    jump = run_events_pb2.JumpBegun(target="child", region=["child", "after"], source=family.where)
    await family.parent.send(RunEvent(jump_begun=jump))
    closed = fact_events_pb2.WaitClosed(instance=family.where, cause=instances_pb2.FAILURE_CAUSE_STOPPED)
    await family.parent.send(RunEvent(wait_closed=closed))

    await family.deliver()
    await family.deliver()

    assert (await family.states())[1] is RunState.CANCELLED
    assert [end.stale for end in await family.facts()] == [True]


async def test_a_flow_is_paused_and_resumed_with_its_children(house: Any, family: Family) -> None:
    await family.begin()
    flow_id = (await house.run(family.child_id)).identity.flow_id

    await pause_flow(house.store, OPEN_CALLER, HoldingFlow(flow_id, "", ""))
    paused = (await house.run(family.child_id)).head
    await resume_flow(house.store, OPEN_CALLER, HoldingFlow(flow_id, "", ""))

    assert (paused.state, paused.held) == (RunState.PAUSED, True)
    assert await family.states() == (RunState.PAUSED, RunState.QUEUED)

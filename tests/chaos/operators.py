"""The people: they decide approvals, resolve effects in doubt, pause and stop runs, and let go on those that can."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration

from perdure.client import CallFailed, Client, pages
from perdure.v1 import approvals_pb2, decisions_pb2, fact_events_pb2, run_recovery_pb2, run_states_pb2, runs_pb2
from perdure.v1.run_events_pb2 import RunEvent
from tests.chaos.record import Record, Told

CONTINUABLE: Final = (
    run_states_pb2.RUN_STATE_FAILED,
    run_states_pb2.RUN_STATE_INTERRUPTED,
    run_states_pb2.RUN_STATE_EXPIRED,
    run_states_pb2.RUN_STATE_TIMED_OUT,
)
GOING_ON: Final = (run_states_pb2.RUN_STATE_QUEUED, run_states_pb2.RUN_STATE_RUNNING)
CONTINUES: Final = 3
"""How often a run that has ended is continued at most."""


@dataclass(slots=True)
class Operators:
    """Look after runs, again and again."""

    client: Client
    record: Record
    chance: random.Random
    stops: bool = True
    """Whether they stop and pause runs now and then."""
    did: "Counter[str]" = field(default_factory=Counter)
    _looked_at: set[tuple[str, int]] = field(default_factory=set)
    _continued: "Counter[str]" = field(default_factory=Counter)
    _looks: int = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Looks after everything until told to stop."""
        while not stop.is_set():
            await self.look()
            await asyncio.sleep(0.15)

    async def look(self) -> None:
        """Looks once. A server that is away is passed over; there is a next time."""
        try:
            await self._decide()
            runs = await self._runs()
            await self._resolve(runs)
            await self._continue(runs)
            await self._resume(runs)
            await self._pause(runs)
            await self._stop(runs)
        except CallFailed as failure:
            if not failure.lost:
                self.record.broken.append(str(failure))

    async def _decide(self) -> None:
        request = approvals_pb2.ListApprovalsRequest(states=[approvals_pb2.Approval.STATE_OPEN], page_size=50)
        for listed in (await self.client.approvals.ListApprovals(request)).approvals:
            name = approvals_pb2.GetApprovalRequest(name=listed.name)
            approval = await self.client.approvals.GetApproval(name)
            if approval.state != approvals_pb2.Approval.STATE_OPEN:
                continue
            approve = self.chance.random() < 0.8
            asked = [self._decision(approval, approve=approve)]
            if self.chance.random() < 0.2:
                asked.append(self._decision(approval, approve=not approve))
            answers = await asyncio.gather(*(self._ask_decision(one) for one in asked))
            if len([answer for answer in answers if answer is not None]) > 1:
                self.record.broken.append(f"{approval.name}: both of two contrary decisions were accepted")

    def _decision(self, approval: approvals_pb2.Approval, *, approve: bool) -> approvals_pb2.DecideApprovalRequest:
        kinds = decisions_pb2.DECISION_KIND_APPROVED, decisions_pb2.DECISION_KIND_REJECTED
        return approvals_pb2.DecideApprovalRequest(
            name=approval.name,
            decision=kinds[0] if approve else kinds[1],
            token=approval.token,
            reason="" if approve else "once more",
            request_id=str(uuid.uuid4()),
        )

    async def _ask_decision(self, asked: approvals_pb2.DecideApprovalRequest) -> approvals_pb2.Approval | None:
        answer = await self.record.ask(lambda: self.client.approvals.DecideApproval(asked))
        if answer is None:
            return None
        approval_id, kind = asked.name.removeprefix("approvals/"), asked.decision
        says = lambda event: (  # noqa: E731
            event.fact_recorded.decision.approval_id == approval_id and event.fact_recorded.decision.kind == kind
        )
        self.did["decided"] += 1
        self.record.told.append(Told(answer.run.removeprefix("runs/"), 1, f"{asked.name} was decided", says))
        return answer

    async def _resolve(self, runs: list[runs_pb2.Run]) -> None:
        for run in runs:
            if run.effects_in_doubt:
                recovery = await self.client.runs.GetRecovery(runs_pb2.GetRecoveryRequest(name=run.name))
                for doubt in recovery.in_doubt:
                    await self._resolve_one(run.name, doubt)

    async def _resolve_one(self, name: str, doubt: run_recovery_pb2.EffectInDoubt) -> None:
        kinds = [
            fact_events_pb2.RESOLUTION_KIND_DONE,
            fact_events_pb2.RESOLUTION_KIND_RETRY,
            fact_events_pb2.RESOLUTION_KIND_FAILED,
        ]
        (kind,) = self.chance.choices(kinds, [5, 4, 1])
        asked = runs_pb2.ResolveEffectRequest(
            name=name,
            instance=doubt.instance,
            resolution=kind,
            output=b'{"said":"by an operator"}' if kind == fact_events_pb2.RESOLUTION_KIND_DONE else b"",
            report_sequence=doubt.report_sequence,
            reason="they looked",
            request_id=str(uuid.uuid4()),
        )

        def says(event: RunEvent) -> bool:
            return event.fact_recorded.resolution.kind == kind

        await self._change("resolved", lambda: self.client.runs.ResolveEffect(asked), says)

    async def _continue(self, runs: list[runs_pb2.Run]) -> None:
        for run in runs:
            held = run.state == run_states_pb2.RUN_STATE_PAUSED and run.pause_reason in (
                runs_pb2.PAUSE_REASON_TAKEOVER_LIMIT,
                runs_pb2.PAUSE_REASON_STORE_RESTORED,
            )
            if held or _is_waited_for(run) or (run.state in CONTINUABLE and self._wants_more(run)):
                await self._continue_one(run)

    def _wants_more(self, run: runs_pb2.Run) -> bool:
        end = (run.name, run.ended_sequence)
        if end in self._looked_at:
            return False
        self._looked_at.add(end)
        return self._continued[run.name] < CONTINUES and self.chance.random() < 0.8

    async def _continue_one(self, run: runs_pb2.Run) -> None:
        recovery = await self.client.runs.GetRecovery(runs_pb2.GetRecoveryRequest(name=run.name))
        if not recovery.can_continue:
            return
        asked = runs_pb2.ContinueRunRequest(
            name=run.name,
            answers_sequence=recovery.answers_sequence,
            reopen=recovery.reopens,
            extra_attempts=3 if recovery.reopens else 0,
            timeout=Duration(seconds=60) if "timeout" in recovery.needs else None,
            reason="it was mended",
            request_id=str(uuid.uuid4()),
        )
        self._continued[run.name] += 1
        await self._change(
            "continued",
            lambda: self.client.runs.ContinueRun(asked),
            lambda event: (
                event.run_continued.answers_sequence == asked.answers_sequence
                or event.fact_recorded.HasField("hold_released")
            ),
        )

    async def _resume(self, runs: list[runs_pb2.Run]) -> None:
        for run in runs:
            paused = any(hold.cause == fact_events_pb2.HOLD_CAUSE_OPERATOR for hold in run.holds)
            if paused and not run.ended_sequence and (not self.stops or self.chance.random() < 0.3):
                asked = runs_pb2.ResumeRunRequest(name=run.name, reason="go on", request_id=str(uuid.uuid4()))
                await self._change("resumed", partial(self.client.runs.ResumeRun, asked), _releases)

    async def _pause(self, runs: list[runs_pb2.Run]) -> None:
        going_on = [run for run in runs if run.state in GOING_ON]
        if self.stops and going_on and self.chance.random() < 0.1:
            name = self.chance.choice(going_on).name
            asked = runs_pb2.PauseRunRequest(name=name, reason="wait", request_id=str(uuid.uuid4()))
            await self._change("paused", lambda: self.client.runs.PauseRun(asked), _holds)

    async def _stop(self, runs: list[runs_pb2.Run]) -> None:
        if not self.stops or self.chance.random() > 0.05:
            return
        running = [run for run in runs if run.state == run_states_pb2.RUN_STATE_RUNNING]
        if not running:
            return
        name, request_id = self.chance.choice(running).name, str(uuid.uuid4())
        cancel, interrupt = runs_pb2.CancelRunRequest, runs_pb2.InterruptRunRequest
        calls: list[Callable[[], Awaitable[runs_pb2.Run]]] = [
            lambda: self.client.runs.InterruptRun(interrupt(name=name, reason="for now", request_id=request_id)),
            lambda: self.client.runs.CancelRun(cancel(name=name, reason="for good", request_id=request_id)),
        ]
        (call,) = self.chance.choices(calls, [3, 1])
        await self._change(
            "stopped", call, lambda event: event.HasField("stop_requested") or event.HasField("run_ended")
        )

    async def _change(self, what: str, call: Callable[[], Any], says: Callable[[RunEvent], bool]) -> None:
        run = await self.record.ask(call)
        if run is not None:
            self.did[what] += 1
            run_id = run.name.removeprefix("runs/")
            self.record.told.append(Told(run_id, run.last_sequence, f"{run.name} was {what}", says))

    async def _runs(self) -> list[runs_pb2.Run]:
        """The latest runs, and now and then all of them."""
        self._looks += 1
        if self._looks % 10:
            return list((await self.client.runs.ListRuns(runs_pb2.ListRunsRequest(page_size=60))).runs)
        request = runs_pb2.ListRunsRequest(page_size=100)
        return [run async for page in pages(self.client.runs.ListRuns, request) for run in page.runs]


def _is_waited_for(run: runs_pb2.Run) -> bool:
    """Whether it was interrupted under a parent: that waits, and comes to no end until somebody continues it."""
    return bool(run.parent_run) and run.state == run_states_pb2.RUN_STATE_INTERRUPTED


def _holds(event: RunEvent) -> bool:
    return event.fact_recorded.hold_placed.cause == fact_events_pb2.HOLD_CAUSE_OPERATOR


def _releases(event: RunEvent) -> bool:
    return event.fact_recorded.hold_released.cause == fact_events_pb2.HOLD_CAUSE_OPERATOR

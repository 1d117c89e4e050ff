"""The people: they start flows, decide, resolve, pause, resume, stop and continue, at whichever server answers."""

import asyncio
import random
from dataclasses import replace
from enum import Enum, auto
from typing import Any, Final

from perdure.runlog.head import Hold, Stop
from perdure.runlog.recovery import CONTINUE_RELEASES, EffectInDoubt
from perdure.runlog.states import CONTINUABLE, RunState
from perdure.runlog.witnesses import Acknowledgement
from perdure.v1 import fact_events_pb2
from perdure_control_plane.domain.approval import ApprovalState, Decision
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import PerdureError
from perdure_control_plane.domain.ids import ApprovalId, RunId
from perdure_control_plane.domain.inbox import Wait
from perdure_control_plane.domain.queries import ApprovalFilter, RunFilter
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.continue_run import Continuing, continue_run
from perdure_control_plane.usecases.decide_approval import Deciding, decide_approval
from perdure_control_plane.usecases.get_approval import ShownApproval, get_approval
from perdure_control_plane.usecases.get_recovery import get_recovery
from perdure_control_plane.usecases.pause_run import pause_run
from perdure_control_plane.usecases.resolve_effect import Bounds, Resolution, resolve_effect
from perdure_control_plane.usecases.resume_run import resume_run
from perdure_control_plane.usecases.signal_run import Signalling, signal_run
from perdure_control_plane.usecases.stop_run import stop_run
from tests.simulation.calls import Ask, Calls, NoAnswer
from tests.simulation.control_planes import KEYS, LIMITS, TIMING, ControlPlane
from tests.simulation.plans import SIGNALS
from tests.simulation.record import Record

BOUNDS: Final = Bounds(LIMITS, TIMING)
STOPPABLE: Final = (RunState.QUEUED, RunState.RUNNING, RunState.PAUSED)
CONTINUES: Final = 2
"""How often a run that has ended is continued at most."""


class Manner(Enum):
    """How the people behave."""

    WHIMSICAL = auto()
    """They do what they like, when they like."""
    AWAY = auto()
    """They do nothing."""
    DUTIFUL = auto()
    """They do what every run needs to come to an end."""


class People:
    """Look after everything, again and again."""

    def __init__(self, calls: Calls, record: Record, chance: random.Random) -> None:
        self.manner = Manner.WHIMSICAL
        self._calls = calls
        self._record = record
        self._chance = chance
        self._requests = 0
        self._continued: dict[str, int] = {}

    async def run(self) -> None:
        """Goes on for as long as the trial lasts."""
        while True:
            await asyncio.sleep(0.3 + 0.8 * self._chance.random())
            if self.manner is Manner.AWAY:
                continue
            try:
                await self._look()
            except (NoAnswer, PerdureError) as missed:
                self._record.step("people", "got no answer", why=missed)

    async def _look(self) -> None:
        runs, approvals, waits = await self._calls.ask(_listing)
        for approval_id in approvals:
            if self._likes(0.5):
                await self._decide(approval_id)
        for run in runs:
            await self._look_after(run)
        for wait in waits:
            if self._likes(0.3):
                await self._signal(wait.run_id, wait.signal)
        if runs and self.manner is Manner.WHIMSICAL and self._chance.random() < 0.1:
            await self._signal(self._chance.choice(runs).run_id, self._chance.choice(SIGNALS))

    async def _look_after(self, run: Run) -> None:
        head, ask = run.head, self._request_id()
        if head.in_doubt and self._likes(0.5):
            await self._resolve(run)
        elif self._may_continue(run):
            await self._continue(run)
        elif head.holds & Hold.OPERATOR and head.state in (RunState.PAUSED, RunState.RUNNING) and self._likes(0.3):
            await self._change("resumed", run, lambda cp: resume_run(cp.store, OPEN_CALLER, run.run_id, "", ask))
        if self.manner is not Manner.WHIMSICAL or head.state not in STOPPABLE:
            return
        draw = self._chance.random()
        if draw < 0.02:
            await self._change("paused", run, lambda cp: pause_run(cp.store, OPEN_CALLER, run.run_id, "wait", ask))
        elif draw < 0.04:
            stop = self._chance.choice([Stop.CANCEL, Stop.INTERRUPT, Stop.INTERRUPT])
            await self._change(
                "stopped", run, lambda cp: stop_run(cp.store, OPEN_CALLER, run.run_id, stop, "enough", ask)
            )

    def _may_continue(self, run: Run) -> bool:
        if run.head.state in CONTINUABLE:
            return self._wants_more(run)
        return run.head.state is RunState.PAUSED and bool(run.head.holds & CONTINUE_RELEASES) and self._likes(0.5)

    def _likes(self, chance: float) -> bool:
        return self.manner is Manner.DUTIFUL or self._chance.random() < chance

    def _wants_more(self, run: Run) -> bool:
        if self.manner is Manner.DUTIFUL and run.identity.parent_run_id and run.head.state is RunState.INTERRUPTED:
            return True  # its parent waits for it
        return self._continued.get(run.run_id, 0) < CONTINUES and self._chance.random() < 0.2

    async def _decide(self, approval_id: ApprovalId) -> None:
        shown = await self._calls.ask(lambda cp: get_approval(cp.store, KEYS, OPEN_CALLER, approval_id))
        if shown.approval.state is not ApprovalState.OPEN:
            return
        approve = self.manner is Manner.DUTIFUL or self._chance.random() < 0.75
        asked = [self._deciding(shown, approve)]
        if self._chance.random() < 0.3:
            asked.append(self._deciding(shown, not approve))
        epoch = self._calls.epoch()
        answers = await asyncio.gather(*map(self._ask_decision, asked))
        if sum(answers) > 1 and epoch == self._calls.epoch():  # the store may have lost the first of them
            self._record.broken.append(f"approval {approval_id}: both of two contrary decisions were accepted")

    def _deciding(self, shown: ShownApproval, approve: bool) -> Deciding:
        asked = shown.approval
        ways = [way for way in asked.allowed if way is not Decision.REJECTED]
        decision = self._chance.choice(ways) if approve else Decision.REJECTED
        return Deciding(
            asked.approval_id,
            decision,
            shown.token,
            "" if approve else "no",
            self._request_id(),
            b'{"value": 5}' if decision.has_content else b"",
            self._chance.choice(asked.options) if decision is Decision.SELECTED else "",
        )

    async def _ask_decision(self, asked: Deciding) -> bool:
        told = await self._tell("decided", lambda cp: decide_approval(cp.store, LIMITS, KEYS, OPEN_CALLER, asked))
        return told is not None

    async def _signal(self, run_id: RunId, signal: str) -> None:
        asked = Signalling(run_id, signal, b'{"value":3}', self._request_id())
        await self._tell("signalled", lambda cp: signal_run(cp.store, LIMITS, OPEN_CALLER, asked), run=run_id)

    async def _resolve(self, run: Run) -> None:
        found = await self._calls.ask(lambda cp: get_recovery(cp.store, TIMING, run.run_id))
        for effect in found.recovery.in_doubt:
            asked = self._resolution(run.run_id, effect)
            ask = lambda cp, asked=asked: resolve_effect(cp.store, BOUNDS, OPEN_CALLER, asked)  # noqa: E731
            await self._change("resolved", run, ask)

    def _resolution(self, run_id: RunId, effect: EffectInDoubt) -> Resolution:
        kinds = [
            fact_events_pb2.RESOLUTION_KIND_DONE,
            fact_events_pb2.RESOLUTION_KIND_RETRY,
            fact_events_pb2.RESOLUTION_KIND_FAILED,
        ]
        (kind,) = self._chance.choices(kinds, [4, 4, 1])
        output = b'{"value":7}' if kind == fact_events_pb2.RESOLUTION_KIND_DONE else b""
        report = effect.doubt.report_sequence
        return Resolution(run_id, effect.instance, kind, output, report, "looked", self._request_id())

    async def _continue(self, run: Run) -> None:
        found = await self._calls.ask(lambda cp: get_recovery(cp.store, TIMING, run.run_id))
        plan, run_id = found.recovery, run.run_id
        if not plan.can_continue:
            return
        self._continued[run_id] = self._continued.get(run_id, 0) + 1
        reopen = str(plan.reopens) if plan.reopens is not None else ""
        timeout = 60_000_000 if "timeout" in plan.needs else 0
        asked = Continuing(run_id, plan.answers_sequence, reopen, 2 if reopen else 0, timeout, "", self._request_id())
        await self._change("continued", run, lambda cp: continue_run(cp.store, OPEN_CALLER, asked))

    async def _change(self, what: str, run: Run, ask: Ask) -> None:
        changed = await self._tell(what, ask, run=run.run_id)
        if changed is not None:
            told = Acknowledgement(changed.run_id, changed.head.last_sequence)
            self._record.acknowledgements.append((self._calls.asked_in, told))

    async def _tell(self, what: str, ask: Ask, **details: object) -> Any:
        """Asks for a change; again, and elsewhere, where no answer comes. None where it was refused."""
        for _ in range(3):
            try:
                answer = await self._calls.ask(ask)
            except NoAnswer:
                continue
            except PerdureError as refusal:
                self._record.step("people", f"not {what}", reason=refusal.reason, **details)
                return None
            self._record.hit(f"people: {what}", "people", **details)
            return answer
        return None

    def _request_id(self) -> str:
        self._requests += 1
        return f"request-{self._requests}"


async def _listing(control_plane: ControlPlane) -> tuple[list[Run], list[ApprovalId], list[Wait]]:
    def body(tx: Any) -> tuple[list[Run], list[ApprovalId], list[Wait]]:
        runs = list(tx.runs.page(RunFilter(), None, 500))
        found = tx.approvals.page(replace(ApprovalFilter(), states=(ApprovalState.OPEN,)), None, 500)
        waits = tx.inbox.open_waits([run.run_id for run in runs])
        return runs, [approval.approval_id for approval, _ in found], [wait for wait in waits if wait.signal]

    return await control_plane.store.read(body)

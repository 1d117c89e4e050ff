"""RunService."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from perdure.runlog.head import Stop
from perdure.runlog.states import RunState
from perdure.v1 import run_effects_pb2, run_explanations_pb2, run_recovery_pb2, runs_pb2, runs_pb2_grpc
from perdure_control_plane.api import names, requests
from perdure_control_plane.api.interceptors import caller
from perdure_control_plane.api.messages import runs as messages
from perdure_control_plane.api.messages.effects import effect
from perdure_control_plane.api.messages.explanations import explanation
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.continue_run import continue_run
from perdure_control_plane.usecases.explain_run import explain_run
from perdure_control_plane.usecases.get_recovery import get_recovery
from perdure_control_plane.usecases.list_effects import list_checkpoints, list_effects
from perdure_control_plane.usecases.pause_run import pause_run
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.read_logs import run_events, run_plan
from perdure_control_plane.usecases.readings.run_details import run_details
from perdure_control_plane.usecases.resolve_effect import Bounds, resolve_effect
from perdure_control_plane.usecases.resume_run import resume_run
from perdure_control_plane.usecases.stop_run import stop_run
from perdure_control_plane.usecases.watch_runs import Watcher


class RunServicer(runs_pb2_grpc.RunServiceServicer):
    """Shows runs, holds and stops them, settles their doubts, and makes them go on."""

    def __init__(self, store: Store, bounds: Bounds, pages: Pages, watcher: Watcher) -> None:
        self._store = store
        self._bounds = bounds
        self._pages = pages
        self._watcher = watcher

    async def GetRun(self, request: runs_pb2.GetRunRequest, context: Any) -> runs_pb2.Run:
        """Shows a run."""
        run_id = names.run_id(request.name)
        return await self._shown(await self._store.read(lambda tx: tx.runs.get(run_id)))

    async def ListRuns(self, request: runs_pb2.ListRunsRequest, context: Any) -> runs_pb2.ListRunsResponse:
        """Lists runs."""
        size, before = self._pages.size(request.page_size), self._pages.position(request)
        wanted = requests.run_filter(request)
        found = await self._store.read(lambda tx: tx.runs.page(wanted, before, size, tx.now))
        shown = list(zip(found, await self._all_shown(found), strict=True))
        listed, token = self._pages.page(request, shown, size, lambda pair: _place(pair[0]), lambda pair: pair[1])
        return runs_pb2.ListRunsResponse(runs=listed, next_page_token=token)

    async def ListRunEvents(
        self, request: runs_pb2.ListRunEventsRequest, context: Any
    ) -> runs_pb2.ListRunEventsResponse:
        """Lists a run's events."""
        size = self._pages.size(request.page_size)
        after = self._pages.position(request) or requests.sequence(request.after_sequence, "after_sequence")
        found = await run_events(self._store, self._bounds.limits, names.run_id(request.name), after, size)
        token = self._pages.token(request, found.position) if found.more else ""
        return runs_pb2.ListRunEventsResponse(events=found.events, next_page_token=token)

    async def ListCheckpoints(
        self, request: runs_pb2.ListCheckpointsRequest, context: Any
    ) -> runs_pb2.ListCheckpointsResponse:
        """Lists the positions worth going back to."""
        run_id, size = names.run_id(request.name), self._pages.size(request.page_size)
        found = await list_checkpoints(self._store, run_id, self._pages.position(request) or 0, size)
        listed, token = self._pages.page(
            request, found, size, lambda judged: judged.checkpoint.sequence, messages.checkpoint
        )
        return runs_pb2.ListCheckpointsResponse(checkpoints=listed, next_page_token=token)

    async def ListEffects(
        self, request: run_effects_pb2.ListEffectsRequest, context: Any
    ) -> run_effects_pb2.ListEffectsResponse:
        """Lists what a run has done to the world outside."""
        run_id, size = names.run_id(request.name), self._pages.size(request.page_size)
        found = await list_effects(self._store, run_id, self._pages.position(request) or 0, size)
        listed, token = self._pages.page(request, found, size, lambda entry: entry.begun_sequence, effect)
        return run_effects_pb2.ListEffectsResponse(effects=listed, next_page_token=token)

    async def GetRunPlan(self, request: runs_pb2.GetRunPlanRequest, context: Any) -> runs_pb2.RunPlan:
        """Shows what a run walks."""
        found = await run_plan(self._store, names.run_id(request.name))
        return runs_pb2.RunPlan(run=found.run.name, plan=found.plan, digest=found.run.identity.plan_digest)

    async def GetRecovery(self, request: runs_pb2.GetRecoveryRequest, context: Any) -> run_recovery_pb2.Recovery:
        """Says how a run can go on."""
        found = await get_recovery(self._store, self._bounds.timing, names.run_id(request.name))
        return messages.recovery(found)

    async def ExplainRun(
        self, request: runs_pb2.ExplainRunRequest, context: Any
    ) -> run_explanations_pb2.RunExplanation:
        """Says why a run does not go on."""
        return explanation(await explain_run(self._store, self._bounds.timing, names.run_id(request.name)))

    async def ContinueRun(self, request: runs_pb2.ContinueRunRequest, context: Any) -> runs_pb2.Run:
        """Makes a run go on."""
        return await self._shown(await continue_run(self._store, caller(), requests.continuing(request)))

    async def ResolveEffect(self, request: runs_pb2.ResolveEffectRequest, context: Any) -> runs_pb2.Run:
        """Settles an effect in doubt."""
        asked = requests.resolution(request)
        return await self._shown(await resolve_effect(self._store, self._bounds, caller(), asked))

    async def PauseRun(self, request: runs_pb2.PauseRunRequest, context: Any) -> runs_pb2.Run:
        """Holds a run."""
        run_id, reason, request_id = requests.control(request)
        return await self._shown(await pause_run(self._store, caller(), run_id, reason, request_id))

    async def ResumeRun(self, request: runs_pb2.ResumeRunRequest, context: Any) -> runs_pb2.Run:
        """Releases an operator's hold."""
        run_id, reason, request_id = requests.control(request)
        return await self._shown(await resume_run(self._store, caller(), run_id, reason, request_id))

    async def CancelRun(self, request: runs_pb2.CancelRunRequest, context: Any) -> runs_pb2.Run:
        """Stops a run for good."""
        run_id, reason, request_id = requests.control(request)
        return await self._shown(await stop_run(self._store, caller(), run_id, Stop.CANCEL, reason, request_id))

    async def InterruptRun(self, request: runs_pb2.InterruptRunRequest, context: Any) -> runs_pb2.Run:
        """Stops a run for now."""
        run_id, reason, request_id = requests.control(request)
        return await self._shown(await stop_run(self._store, caller(), run_id, Stop.INTERRUPT, reason, request_id))

    async def WatchRun(
        self, request: runs_pb2.WatchRunRequest, context: Any
    ) -> AsyncIterator[runs_pb2.WatchRunResponse]:
        """Streams a run's events."""
        run_id, after = names.run_id(request.name), requests.sequence(request.after_sequence, "after_sequence")
        async for recorded in self._watcher.run(run_id, after):
            if recorded is not None:
                yield runs_pb2.WatchRunResponse(event=recorded)
            else:
                yield runs_pb2.WatchRunResponse(heartbeat_time=_now())

    async def _shown(self, run: Run) -> runs_pb2.Run:
        return (await self._all_shown([run]))[0]

    async def _all_shown(self, runs: Sequence[Run]) -> list[runs_pb2.Run]:
        shown = [run for run in runs if run.head.open_waits or run.head.holds or run.head.state is RunState.QUEUED]
        details = await self._store.read(lambda tx: run_details(tx, shown)) if shown else {}
        return [messages.run(run, *details.get(run.run_id, ())) for run in runs]


def _place(run: Run) -> list[int | str]:
    return [run.identity.created_at, run.run_id]


def _now() -> Timestamp:
    message = Timestamp()
    message.GetCurrentTime()
    return message

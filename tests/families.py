"""What tests look at of a flow whose runs have started others."""

import asyncio
from typing import Any

from perdure.runlog.checker import LogChecker
from perdure.runlog.plans import read_plan
from perdure.runlog.tree import Tree
from perdure.v1 import flows_pb2, run_events_pb2, runs_pb2

LOOK_SECONDS = 0.02


async def runs_of(service: Any, flow: flows_pb2.Flow) -> list[runs_pb2.Run]:
    """A flow's runs, the parent first."""
    listed = await service.runs.ListRuns(runs_pb2.ListRunsRequest(flow=flow.name))
    return sorted(listed.runs, key=lambda run: bool(run.parent_run))


async def events_of(service: Any, run: str) -> list[run_events_pb2.RunEvent]:
    """The events of a run, up to 500."""
    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=run, page_size=500))
    return [one.event for one in listed.events]


async def runs_at_rest(service: Any, flow: flows_pb2.Flow) -> list[runs_pb2.Run]:
    """A flow's runs, once its root has been told of its children's ends: a flow is settled before that, and who follows a
    run is told of nothing that comes after its end."""
    async with asyncio.timeout(20):
        while True:
            runs = await runs_of(service, flow)
            events = await events_of(service, flow.root_run)
            started = sum(event.HasField("child_started") for event in events)
            told = {e.fact_recorded.child_ended.run_id for e in events if e.fact_recorded.HasField("child_ended")}
            if len(told) == started and runs[0].last_sequence == len(events):
                return runs
            await asyncio.sleep(LOOK_SECONDS)


async def tree_violations(service: Any, flow: flows_pb2.Flow) -> list[str]:
    """What the checker finds in the logs of a flow's runs, and between them."""
    tree, found = Tree(), []
    for run in await runs_at_rest(service, flow):
        plan = await service.runs.GetRunPlan(runs_pb2.GetRunPlanRequest(name=run.name))
        checker = LogChecker(run.name.removeprefix("runs/"), read_plan(plan.plan, plan.digest), plan.digest)
        listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=run.name, page_size=500))
        for recorded in listed.events:
            checker.take(recorded)
        checker.finish(run)
        tree.add(checker)
        found += checker.violations
    return [str(violation) for violation in [*found, *tree.violations(at_rest=True)]]

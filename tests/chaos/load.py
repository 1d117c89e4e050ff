"""The load: flows that are started at a bounded rate."""

import asyncio
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from perdure.client import Client
from perdure.v1 import flows_pb2, playbooks_pb2, run_states_pb2, runs_pb2, sessions_pb2
from tests.chaos.record import Record, Told

SESSION = "sessions/chaos"
UNENDED = (run_states_pb2.RUN_STATE_QUEUED, run_states_pb2.RUN_STATE_RUNNING, run_states_pb2.RUN_STATE_PAUSED)


@dataclass(slots=True)
class Load:
    """Starts flows until it is told to stop."""

    client: Client
    record: Record
    chance: random.Random
    in_flight: int
    per_second: float
    versions: list[playbooks_pb2.PlaybookVersion] = field(default_factory=list)
    started: int = 0

    async def publish(self, manifests: Sequence[str]) -> None:
        """Makes the session, and publishes what will be started."""
        await self.record.ask(lambda: self.client.sessions.CreateSession(sessions_pb2.CreateSessionRequest(
            session_id=SESSION.removeprefix("sessions/"))))  # fmt: skip
        for manifest in manifests:
            document = playbooks_pb2.PlaybookDocument(text=manifest.encode())
            version = await self.client.playbooks.CreatePlaybookVersion(
                playbooks_pb2.CreatePlaybookVersionRequest(document=document)
            )
            published = playbooks_pb2.PublishPlaybookVersionRequest(
                name=version.name, digest=version.digest, evidence=[playbooks_pb2.Evidence(kind="review", id="chaos")]
            )
            self.versions.append(await self.client.playbooks.PublishPlaybookVersion(published))

    async def run(self, stop: asyncio.Event) -> None:
        """Starts flows, as many as may be under way at once."""
        while not stop.is_set():
            if await self.under_way() < self.in_flight:
                await self._start()
            await asyncio.sleep(1 / self.per_second)

    async def under_way(self) -> int:
        """How many runs have not ended; 0 where the server did not say."""
        request = runs_pb2.ListRunsRequest(states=UNENDED, page_size=100)
        answer = await self.record.ask(lambda: self.client.runs.ListRuns(request))
        return len(answer.runs) if answer is not None else 0

    async def _start(self) -> None:
        version = self.chance.choice(self.versions)
        request = flows_pb2.StartFlowRequest(
            playbook_version=version.name, digest=version.digest, session=SESSION, idempotency_key=str(uuid.uuid4())
        )
        flow = await self.record.ask(lambda: self.client.flows.StartFlow(request))
        if flow is None:
            return
        self.started += 1
        self._note(flow)
        if self.chance.random() < 0.1:
            again = await self.record.ask(lambda: self.client.flows.StartFlow(request))
            if again is not None and again.root_run != flow.root_run:
                self.record.broken.append(f"{flow.name}: the same key started another run")

    def _note(self, flow: flows_pb2.Flow) -> None:
        flow_id = flow.name.removeprefix("flows/")
        run_id = flow.root_run.removeprefix("runs/")
        says = lambda event: event.run_created.flow_id == flow_id  # noqa: E731
        self.record.told.append(Told(run_id, 1, f"{flow.name} was started", says))

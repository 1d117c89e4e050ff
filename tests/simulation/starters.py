"""Whoever starts flows: publishes playbooks that were drawn, and starts them until each start is answered."""

import asyncio
import contextlib
import random
from typing import Any, Final

from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import NotFound, PerdureError
from perdure_control_plane.domain.flow import RequestSource
from perdure_control_plane.domain.ids import SessionId
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.playbook import Evidence, PlaybookVersion, Publication
from perdure_control_plane.domain.schedule import Misfire, Overlap
from perdure_control_plane.usecases.create_playbook_version import create_playbook_version
from perdure_control_plane.usecases.create_schedule import NewSchedule, create_schedule
from perdure_control_plane.usecases.create_session import create_session
from perdure_control_plane.usecases.pause_schedule import pause_schedule
from perdure_control_plane.usecases.publish_playbook_version import Publishing, publish_playbook_version
from perdure_control_plane.usecases.start_flow import Start
from tests.simulation.calls import Ask, Calls, NoAnswer
from tests.simulation.plans import PlanMaker
from tests.simulation.record import Record

SCHEDULE: Final = "often"


class Starters:
    """Start flows for a while."""

    def __init__(self, calls: Calls, record: Record, chance: random.Random, *, schedules: bool) -> None:
        """`schedules` says whether they have flows started at times, too."""
        self._schedules = schedules
        self._calls = calls
        self._record = record
        self._chance = chance
        self._plans = PlanMaker(chance)

    async def run(self) -> None:
        """Publishes, and starts flows."""
        versions = await self._published_family()
        if self._schedules:
            await self._schedule(self._chance.choice(versions))
        for number in range(self._chance.randint(2, 6)):
            version = self._chance.choice(versions)
            try:
                await self._start(f"key-{number}", version)
                if self._chance.random() < 0.2:
                    self._record.hit("start repeated", "starters", key=f"key-{number}")
                    await self._start(f"key-{number}", version)
            except PerdureError as refusal:
                # Of a store that went back, what was published since is gone.
                self._record.step("starters", "start refused", reason=refusal.reason)
            await asyncio.sleep(2.0 * self._chance.random() ** 2)

    async def close(self) -> None:
        """Lets no time of the schedule come any more."""
        if self._schedules:
            with contextlib.suppress(NotFound):  # of a store that went back it is gone
                await self._insist(lambda cp: pause_schedule(cp.store, OPEN_CALLER, SCHEDULE, ""))

    async def _schedule(self, version: PlaybookVersion) -> None:
        asked = NewSchedule(
            schedule_id=SCHEDULE,
            start=_asked(version, ""),
            cron="",
            interval=self._chance.choice([1, 2, 3]) * SECOND,
            time_zone="UTC",
            overlap=self._chance.choice(list(Overlap)),
            misfire=self._chance.choice(list(Misfire)),
            catch_up_window=3600 * SECOND,
            jitter=self._chance.choice([0, SECOND // 2]),
            request_id="",
        )
        try:
            await self._insist(lambda cp: create_session(cp.store, OPEN_CALLER, SessionId("s"), ""))
            await self._insist(lambda cp: create_schedule(cp.store, cp.starter, OPEN_CALLER, asked))
        except PerdureError as refusal:
            self._record.step("starters", "schedule refused", reason=refusal.reason)

    async def _published_family(self) -> list[PlaybookVersion]:
        """Versions to start: some of them start others as children, which may start others again."""
        versions: list[PlaybookVersion] = []
        parents = self._chance.random() < 0.5
        for number in range(self._chance.randint(2, 3) if parents else self._chance.randint(1, 2)):
            children = [(version.playbook_id, version.version) for version in versions] if parents else []
            manifest = self._plans.manifest(children, longest=2 if parents and not number else 4)
            try:
                versions.append(await self._published(manifest))
            except PerdureError as refusal:
                # Of a store that went back, the version of a child may be gone.
                self._record.step("starters", "publishing refused", reason=refusal.reason)
        return versions[-2:] if versions else [await self._published(self._plans.manifest())]

    async def _published(self, manifest: str) -> PlaybookVersion:
        version: PlaybookVersion = await self._insist(
            lambda cp: create_playbook_version(cp.store, OPEN_CALLER, manifest.encode(), "")
        )
        asked = Publishing(
            version.playbook_id, version.version, version.digest, Publication.ACTIVE, (Evidence("review", "it"),), ""
        )
        await self._insist(lambda cp: publish_playbook_version(cp.store, OPEN_CALLER, asked))
        return version

    async def _start(self, key: str, version: PlaybookVersion) -> None:
        await self._insist(lambda cp: create_session(cp.store, OPEN_CALLER, SessionId("s"), ""))
        asked = _asked(version, key, timeout_micros=20_000_000 if self._is_urgent(key) else 0)
        view = await self._insist(lambda cp: cp.starter.start(OPEN_CALLER, asked))
        self._record.step("starters", "started", run=view.flow.root_run_id, playbook=version.playbook_id)

    @staticmethod
    def _is_urgent(key: str) -> bool:
        return key.endswith("3")

    async def _insist(self, ask: Ask) -> Any:
        while True:
            try:
                return await self._calls.ask(ask)
            except NoAnswer:
                await asyncio.sleep(0.2)


def _asked(version: PlaybookVersion, key: str, *, timeout_micros: int = 0) -> Start:
    return Start(
        playbook_id=version.playbook_id,
        version=version.version,
        digest=version.digest,
        session_id=SessionId("s"),
        idempotency_key=key,
        flow_id=None,
        content="",
        input=b"",
        metadata={},
        provider="",
        source=RequestSource(),
        queue="default",
        priority=0,
        timeout_micros=timeout_micros,
        labels=(),
    )

"""Takes snapshots of logs that have grown, in the background and one at a time: no commit waits for one."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from perdure_control_plane.domain.errors import NotFound, RunStateForbids, StoreUnavailable
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.storage.sqlite import SqliteStore
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.take_snapshots import snapshot_run

log = structlog.get_logger(__name__)


class Grown(Protocol):
    """What a commit says of logs."""

    @property
    def grown(self) -> Sequence[str]:
        """Runs whose log has grown by another piece."""


async def take_snapshots(store: SqliteStore | PostgresStore, every: int) -> None:
    """Takes a snapshot whenever a log has grown by so many events. Goes on until it is cancelled."""
    snapshotter = Snapshotter(store, every)
    store.on_commit(snapshotter.committed)
    await snapshotter.run()


class Snapshotter:
    """Takes a snapshot whenever a log has grown by so many events. A cache: one that was missed is taken later."""

    def __init__(self, store: Store, every: int) -> None:
        self._store = store
        self._every = every
        self._grown: dict[str, None] = {}
        self._wake = asyncio.Event()

    def committed(self, commit: Grown) -> None:
        """Notes the runs whose log has grown."""
        if commit.grown:
            self._grown.update(dict.fromkeys(commit.grown))
            self._wake.set()

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._grown:
                run_id = next(iter(self._grown))
                del self._grown[run_id]
                await self._take(RunId(run_id))

    async def _take(self, run_id: RunId) -> None:
        try:
            sequence = await snapshot_run(self._store, run_id, self._every)
        except NotFound:
            log.debug("snapshot.needless", run=run_id)  # deleted meanwhile
        except StoreUnavailable as error:
            log.warning("snapshot.postponed", run=run_id, reason=str(error))
        except RunStateForbids as error:
            log.warning("snapshot.impossible", run=run_id, reason=str(error))
        except Exception:  # whoever reads the run meets what is wrong with it, too
            log.exception("snapshot.failed", run=run_id)
        else:
            if sequence:
                log.debug("snapshot.taken", run=run_id, sequence=sequence)

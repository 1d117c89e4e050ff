"""`perdure-server check` looks at the audit trail, too."""

import asyncio
import contextlib
import pathlib
import sqlite3
import sys
from typing import Any

from perdure.audit.signing import HeadKey
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.ids import SessionId
from perdure_control_plane.storage.sqlite import SqliteStore
from perdure_control_plane.usecases.create_session import create_session
from perdure_control_plane.usecases.seal_audit import seal_audit

PROGRAM = pathlib.Path(sys.executable).parent / "perdure-server"


async def check(data_dir: pathlib.Path) -> tuple[int, str]:
    """Runs the program; its exit code and what it says beside the verdicts."""
    program = await asyncio.create_subprocess_exec(
        PROGRAM, "check", "--data-dir", data_dir, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, err = await program.communicate()
    return program.returncode or 0, err.decode()


async def test_an_audit_trail_that_was_bent_is_a_fault_of_the_store(data_dir: pathlib.Path, clock: Any) -> None:
    store = SqliteStore(data_dir, clock)
    await store.open()
    for name in "abc":
        await create_session(store, OPEN_CALLER, SessionId(name), "")
    await seal_audit(store, HeadKey(b"k" * 32))
    await store.close()
    sound = await check(data_dir)
    with contextlib.closing(sqlite3.connect(data_dir / "perdure.db")) as database, database:
        database.execute("UPDATE audit_events SET principal = 'eve' WHERE position = 2")

    bent = await check(data_dir)

    assert sound == (0, "0 runs, 0 events, no violation\n")
    assert bent[0] == 1
    assert "the audit trail is broken at position 2: it was changed: its hash is not that of what it says\n" in bent[1]

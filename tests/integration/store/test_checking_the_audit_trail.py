"""`perdure-server check` looks at the audit trail, too."""

import asyncio
import contextlib
import pathlib
import sqlite3
import sys
from typing import Any

from perdure.audit.signing import HeadKey
from perdure_control_plane.domain.api_key import KeyTexts
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.ids import SessionId
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.storage.sqlite import SqliteStore
from perdure_control_plane.usecases.create_key import NewKey, create_key
from perdure_control_plane.usecases.create_session import create_session
from perdure_control_plane.usecases.seal_audit import seal_audit

PROGRAM = pathlib.Path(sys.executable).parent / "perdure-server"


async def check(data_dir: pathlib.Path) -> tuple[int, str, str]:
    """Runs the program; its exit code, the verdicts, and what it says beside them."""
    program = await asyncio.create_subprocess_exec(
        PROGRAM, "check", "--data-dir", data_dir, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await program.communicate()
    return program.returncode or 0, out.decode(), err.decode()


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

    assert (sound[0], sound[2]) == (0, "0 runs, 0 events, no violation\n")
    assert bent[0] == 1
    assert "the audit trail is broken at position 2: it was changed: its hash is not that of what it says\n" in bent[2]


async def test_a_role_that_the_audit_trail_does_not_know_is_a_fault_of_the_store(
    data_dir: pathlib.Path, clock: Any
) -> None:
    store = SqliteStore(data_dir, clock)
    await store.open()
    await create_key(store, KeyTexts(b"k"), OPEN_CALLER, NewKey("ci", Role.VIEWER, 0, ""))
    await store.close()
    with contextlib.closing(sqlite3.connect(data_dir / "perdure.db")) as database, database:
        database.execute("UPDATE api_keys SET role = 'ADMIN'")

    code, out, err = await check(data_dir)

    assert (code, err) == (1, "0 runs, 0 events, 1 violation\n")
    told = "AUDITED (no run): keys/ci: anonymous made it with the role ADMIN, and no audit event says so"
    assert told in out.splitlines()

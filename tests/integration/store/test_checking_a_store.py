"""`perdure-server check`: what an operator learns about a store, with and without a server on it."""

import asyncio
import json
import pathlib
import re
import sqlite3
import sys
from typing import Any

import grpc.aio
import pytest

from perdure.v1 import runs_pb2

PROGRAM = pathlib.Path(sys.executable).parent / "perdure-server"

HELLO = """
playbook_id: hello
version: 1.0.0
title: Hello
objective: Say hello
nodes:
  - {id: greet, type: function, function: greet}
"""


async def check(data_dir: pathlib.Path, *flags: str) -> tuple[int, str, str]:
    """Runs the program; its exit code and what it printed on both streams."""
    program = await asyncio.create_subprocess_exec(
        PROGRAM, "check", "--data-dir", data_dir, *flags, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await program.communicate()
    return program.returncode or 0, out.decode(), err.decode()


async def greet(call: Any) -> dict[str, str]:
    return {"said": "hello"}


async def a_finished_run(serve: Any, hire: Any) -> Any:
    service = await serve()
    await hire(service, {"greet": greet})
    done = await service.settled(await service.start(HELLO))
    assert done.settled
    return service


async def test_a_sound_store_is_told_so_while_a_server_runs_on_it(serve: Any, hire: Any) -> None:
    service = await a_finished_run(serve, hire)

    code, out, err = await check(service.data_dir)

    verdicts = dict(re.findall(r"^([A-Z_]+) +(ok|not checked|violated)", out, re.MULTILINE))
    assert code == 0
    assert {rule for rule, verdict in verdicts.items() if verdict != "ok"} == {"ACKNOWLEDGED", "LAUNCHED"}
    assert re.fullmatch(r"1 run, \d+ events, no violation\n", err)


async def test_what_is_told_of_the_way_to_a_database_does_not_stand_in_the_answer(
    postgres: Any, tmp_path: pathlib.Path
) -> None:
    made = await postgres.make()
    query = {"host": f"127.0.0.1,{made.host or made.query['host']}", "port": f"1,{made.port or 5432}"}
    several = made.set(host=None, port=None, query=query)

    code, out, err = await check(tmp_path, "--database", several.render_as_string(hide_password=False), "-o", "json")

    assert (code, json.loads(out)["runs"]) == (0, 0)
    assert "database.changed" in err


async def test_a_manifest_that_is_not_what_was_reviewed_is_found(serve: Any, hire: Any) -> None:
    service = await a_finished_run(serve, hire)
    with sqlite3.connect(service.data_dir / "perdure.db") as database:
        text = "replace(CAST(document AS TEXT), 'Say hello', 'Say nothing')"
        database.execute(f"UPDATE playbook_versions SET document = CAST({text} AS BLOB)")
    database.close()

    code, out, _ = await check(service.data_dir)

    assert code == 1
    assert "DIGEST (no run): playbooks/hello/versions/1.0.0: its manifest does not have the digest " in out


async def test_a_bent_table_and_a_bent_log_are_found(serve: Any, hire: Any) -> None:
    service = await a_finished_run(serve, hire)
    with sqlite3.connect(service.data_dir / "perdure.db") as database:
        database.execute("UPDATE runs SET state = 'FAILED'")
        database.execute("UPDATE run_events SET ordinal = 9 WHERE ordinal = 1")
    database.close()

    code, out, _ = await check(service.data_dir, "-o", "json")

    told = json.loads(out)
    assert code == 1
    assert {fault["rule"] for fault in told["violations"]} == {"LEASE", "ROW", "PROJECTION"}
    assert any("state is 'FAILED'; the log gives 'COMPLETED'" in fault["message"] for fault in told["violations"])
    assert any(fault["message"].startswith("ordinal 9 stands where 1 was due") for fault in told["violations"])


async def test_what_a_client_was_told_is_looked_for_in_the_store(serve: Any, hire: Any, tmp_path: pathlib.Path) -> None:
    service = await a_finished_run(serve, hire)
    acks = tmp_path / "acks.jsonl"
    acks.write_text('{"run": "nobody", "sequence": 1}\n')

    code, out, _ = await check(service.data_dir, "--acks", str(acks), "-o", "json")

    told = json.loads(out)
    assert (code, told["violations"][0]["rule"]) == (1, "ACKNOWLEDGED")
    assert {"rule": "LAUNCHED", "verdict": "not checked"} in told["rules"]


async def test_an_event_that_cannot_be_read_is_named_and_a_caller_is_told_so(serve: Any, hire: Any) -> None:
    service = await a_finished_run(serve, hire)
    with sqlite3.connect(service.data_dir / "perdure.db") as database:
        ((run_id,),) = database.execute("SELECT run_id FROM runs")
        database.execute("UPDATE run_events SET event = x'ff' WHERE sequence = 2")
    database.close()

    code, out, _ = await check(service.data_dir, "-o", "json")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=f"runs/{run_id}"))

    assert code == 1
    (fault,) = json.loads(out)["violations"]
    assert (fault["rule"], fault["sequence"], "event 2 is no event" in fault["message"]) == ("READABLE", 2, True)
    assert refused.value.code() is grpc.StatusCode.DATA_LOSS
    assert "event 2 is no event" in (refused.value.details() or "")


async def test_a_directory_without_a_store_is_said_to_be_none(tmp_path: pathlib.Path) -> None:
    code, out, err = await check(tmp_path)

    assert (code, out) == (2, "")
    assert "does not exist" in err
    assert not (tmp_path / "perdure.db").exists()


async def test_a_damaged_store_stops_with_a_plain_sentence(serve: Any, hire: Any, tmp_path: pathlib.Path) -> None:
    (tmp_path / "perdure.db").write_bytes(b"not a database at all" * 1000)

    code, _, err = await check(tmp_path)

    assert code == 2
    assert err.strip().endswith("the file is not a database; restore a backup into an empty directory")

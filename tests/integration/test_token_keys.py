"""Keys behind approval tokens are turned over while a server runs, and what people were shown is good until a key goes."""

import json
import os
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from perdure.v1 import approvals_pb2, credentials_pb2, decisions_pb2, flows_pb2
from perdure_services.keys import load_keys
from tests.integration.test_bad_input import refusal_of

ASKING = """
playbook_id: asking
version: 1.0.0
title: Asking
objective: Ask
nodes:
  - {id: ask, type: approval, prompt: "Go on?"}
"""


@pytest.fixture
def token_keys(tmp_path: pathlib.Path) -> Any:
    """`perdure-server token-keys` over the data directory of a server."""

    def run(directory: pathlib.Path, *arguments: str, code: int = 0) -> Any:
        server = pathlib.Path(sys.executable).with_name("perdure-server")
        command = [str(server), "token-keys", *arguments, "--data-dir", str(directory), "--output", "json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr

    return run


async def asked(service: Any) -> tuple[flows_pb2.Flow, approvals_pb2.Approval]:
    """A flow that waits, and its approval as a decider sees it."""
    flow = await service.start(ASKING)
    opened = await service.until(flow, lambda one: one.event.HasField("wait_opened"))
    name = f"approvals/{opened.event.wait_opened.approval.approval_id}"
    return flow, await shown(service, name)


async def shown(service: Any, name: str) -> approvals_pb2.Approval:
    found: approvals_pb2.Approval = await service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=name))
    return found


async def decide(service: Any, approval: approvals_pb2.Approval) -> approvals_pb2.Approval:
    decision = decisions_pb2.DECISION_KIND_APPROVED
    request = approvals_pb2.DecideApprovalRequest(name=approval.name, token=approval.token, decision=decision)
    decided: approvals_pb2.Approval = await service.approvals.DecideApproval(request)
    return decided


@pytest.fixture
async def waiting(serve: Any, hire: Any) -> tuple[Any, approvals_pb2.Approval]:
    """A server, and an approval that is open there."""
    service = await serve()
    await hire(service)
    return service, (await asked(service))[1]


async def test_a_running_server_makes_tokens_with_the_new_key_and_takes_those_of_the_old_one(
    waiting: Any, token_keys: Any
) -> None:
    service, before = waiting
    old = before.token.partition(".")[0]

    new = token_keys(service.data_dir, "rotate")["key_id"]
    after = await shown(service, before.name)

    assert after.token.partition(".")[0] == new != old
    assert (await decide(service, before)).decision == decisions_pb2.DECISION_KIND_APPROVED
    listed = token_keys(service.data_dir, "list")
    assert [(one["key_id"], one["current"]) for one in listed] == [(old, False), (new, True)]


async def test_a_key_stays_while_an_open_approval_may_have_a_token_of_it_and_then_goes(
    waiting: Any, token_keys: Any
) -> None:
    service, before = waiting
    old = before.token.partition(".")[0]
    new = token_keys(service.data_dir, "rotate")["key_id"]

    refused = token_keys(service.data_dir, "drop", old, code=2)
    await decide(service, before)
    token_keys(service.data_dir, "drop", old)

    assert "1 open approvals may have been shown with tokens" in refused
    assert [one["key_id"] for one in token_keys(service.data_dir, "list")] == [new]


async def test_no_token_of_a_key_that_was_dropped_is_taken(waiting: Any, token_keys: Any) -> None:
    service, before = waiting
    token_keys(service.data_dir, "rotate")
    token_keys(service.data_dir, "drop", before.token.partition(".")[0], "--force")

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await decide(service, before)
    assert refusal_of(refused.value).reason == "TOKEN_MISMATCH"
    again = await shown(service, before.name)
    assert (await decide(service, again)).state == approvals_pb2.Approval.STATE_DECIDED


async def test_a_key_can_be_taken_before_it_is_used_and_the_current_one_is_not_dropped(
    serve: Any, hire: Any, token_keys: Any
) -> None:
    service = await serve()
    await hire(service)
    _, approval = await asked(service)
    old = approval.token.partition(".")[0]

    added = token_keys(service.data_dir, "add")["key_id"]
    unchanged = (await shown(service, approval.name)).token
    token_keys(service.data_dir, "drop", old, code=2)
    token_keys(service.data_dir, "use", added)

    assert unchanged == approval.token
    assert (await shown(service, approval.name)).token.startswith(f"{added}.")


async def test_the_inventory_has_the_keys_that_there_are_now(serve: Any, token_keys: Any) -> None:
    service = await serve()
    token_keys(service.data_dir, "rotate")

    inventory = await service.credentials.GetCredentialInventory(credentials_pb2.GetCredentialInventoryRequest())

    tokens = [
        one.current
        for one in inventory.server_credentials
        if one.purpose == credentials_pb2.ServerCredential.PURPOSE_APPROVAL_TOKENS
    ]
    assert tokens == [False, True]


async def test_a_file_that_cannot_be_used_leaves_the_keys_as_they_were(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire(service)
    _, approval = await asked(service)

    path = service.data_dir / "keys.json"
    path.write_text("{")
    os.utime(path)

    assert (await decide(service, approval)).state == approvals_pb2.Approval.STATE_DECIDED


def test_no_keys_are_made_where_there_is_no_server(tmp_path: pathlib.Path, token_keys: Any) -> None:
    refused = token_keys(tmp_path, "list", code=2)

    assert "there is no" in refused
    assert not (tmp_path / "keys.json").exists()


def test_of_several_who_add_keys_at_once_nobody_s_is_lost(token_keys: Any, data_dir: pathlib.Path) -> None:
    load_keys(data_dir)
    first = {row["key_id"] for row in token_keys(data_dir, "list")}

    with ThreadPoolExecutor(4) as at_once:
        added = list(at_once.map(lambda _: token_keys(data_dir, "add")["key_id"], range(4)))

    assert {row["key_id"] for row in token_keys(data_dir, "list")} == first | set(added)
    assert len(set(added)) == 4

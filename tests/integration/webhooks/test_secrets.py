"""Secrets of webhooks: they are changed while a server runs, and listed without being told."""

import pathlib
from typing import Any

from perdure.v1.credentials_pb2 import GetCredentialInventoryRequest, ServerCredential
from tests.integration.test_following_approvals import asked
from tests.integration.webhooks.looking import SOON, hook_of
from tests.receivers import NEXT_SECRET, SECRET, text_of


async def test_a_secret_is_changed_while_the_server_runs_and_both_sign_for_a_while(
    serve: Any, hire: Any, listen: Any, told: Any, admin: Any, tmp_path: pathlib.Path
) -> None:
    hook = await listen()
    (tmp_path / "before").write_text(text_of(NEXT_SECRET))
    service = await serve(webhooks=[told(hook, previous_secret_file=str(tmp_path / "before"))])
    await hire(service)
    client = await admin(service)
    await asked(service, "one")
    first = await hook.received.get()
    ids = list((await hook_of(client)).key_ids)

    (tmp_path / "secret").write_text(text_of(NEXT_SECRET))
    (tmp_path / "before").write_text(text_of(SECRET))
    await asked(service, "two")
    second = await hook.received.get()
    (tmp_path / "secret").write_text("not a secret at all")
    await asked(service, "three")
    third = await hook.received.get()

    for request in (first, second, third):
        assert request.is_signed(SECRET)
        assert request.is_signed(NEXT_SECRET)
    assert first.headers["perdure-webhook-keys"] == " ".join(ids)
    assert second.headers["perdure-webhook-keys"] == third.headers["perdure-webhook-keys"] == " ".join(ids[::-1])


async def test_secrets_are_in_the_inventory_by_webhook_and_age_and_never_by_value(
    serve: Any, listen: Any, told: Any, admin: Any, tmp_path: pathlib.Path
) -> None:
    previous = tmp_path / "previous"
    previous.write_text(text_of(NEXT_SECRET))
    hook = await listen()
    service = await serve(webhooks=[told(hook, previous_secret_file=str(previous))], **SOON)
    client = await admin(service)

    inventory = await service.credentials.GetCredentialInventory(GetCredentialInventoryRequest())

    purpose = ServerCredential.PURPOSE_WEBHOOK
    found = [one for one in inventory.server_credentials if one.purpose == purpose]
    keys = list((await hook_of(client)).key_ids)
    assert [one.key_id for one in found] == [f"pager/{key_id}" for key_id in keys]
    assert [(one.present, one.current) for one in found] == [(True, True), (True, False)]
    assert found[1].write_time.ToMicroseconds() == previous.stat().st_mtime_ns // 1000
    assert not any(secret in inventory.SerializeToString() for secret in (SECRET, NEXT_SECRET))

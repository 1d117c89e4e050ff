"""Webhooks: real requests to real receivers, which fail, hang, come back and check who sends."""

import asyncio
import pathlib
import ssl
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest

from perdure.client import Client
from perdure.v1.approvals_pb2 import Approval, GetApprovalRequest
from perdure.v1.audit_pb2 import ListAuditEventsRequest
from perdure.v1.runs_pb2 import CancelRunRequest
from perdure.v1.webhooks_pb2 import (
    DropWebhookDeliveryRequest,
    RetryWebhookDeliveryRequest,
    WebhookDelivery,
)
from tests.authorities import authority
from tests.integration.test_following_approvals import approve, asked
from tests.integration.webhooks.looking import SOON, deliveries, hook_of, until
from tests.postgres import PostgresServer
from tests.receivers import NEXT_SECRET, SECRET, text_of


async def test_a_receiver_is_told_in_events_that_say_who_and_what_and_nothing_more(
    serve: Any, hire: Any, listen: Any, told: Any
) -> None:
    hook = await listen()
    service = await serve(webhooks=[told(hook)], webhook_source="https://perdure.example")
    await hire(service)

    shown = await asked(service, "one")
    requested = await hook.received.get()
    await approve(service, shown)
    decided = await hook.received.get()

    flow = shown.flow
    assert requested.event == {
        "specversion": "1.0",
        "id": requested.headers["webhook-id"],
        "source": "https://perdure.example",
        "type": "dev.perdure.approval.requested",
        "subject": shown.name,
        "time": requested.event["time"],
        "datacontenttype": "application/json",
        "data": {
            "approval": shown.name,
            "run": shown.run,
            "flow": flow,
            "playbook_version": "playbooks/gated/versions/1.0.0",
            "instance": "gate:1#1",
            "kind": "APPROVE",
            "state": "OPEN",
            "deadline_time": shown.deadline_time.ToJsonString(),
            "assignees": [],
            "sequence": requested.event["data"]["sequence"],
        },
    }
    assert decided.word == "decided"
    data = decided.event["data"]
    assert (data["decision"], data["decider"], data["authenticated"]) == ("APPROVED", "anonymous", False)
    assert requested.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert requested.headers["webhook-id"] != decided.headers["webhook-id"]
    for request in (requested, decided):
        assert request.target == "/hooks?token=path-secret"
        assert request.is_signed(SECRET)
        assert not request.is_signed(NEXT_SECRET)
        secrets = ("go on?", "a secret", "because", shown.token)
        assert [word for word in secrets if word.encode() in request.body] == []


async def test_a_receiver_is_told_of_the_events_that_it_wants_alone(
    serve: Any, hire: Any, listen: Any, told: Any
) -> None:
    all_of_them, some = await listen(), await listen()
    service = await serve(webhooks=[told(all_of_them, "all"), told(some, "some", events=["closed"])])
    await hire(service)

    shown = await asked(service, "one")
    await service.runs.CancelRun(CancelRunRequest(name=shown.run))

    assert [(await all_of_them.received.get()).word for _ in range(2)] == ["requested", "closed"]
    assert (await some.received.get()).word == "closed"


@pytest.mark.parametrize("answer", [500, 302, 404, "drop", "noise", "drip", "hang"])
async def test_what_is_not_taken_is_sent_again_as_it_was(
    serve: Any, hire: Any, listen: Any, told: Any, admin: Any, answer: int | str
) -> None:
    hook = await listen(answer, answer, 200)
    service = await serve(webhooks=[told(hook)], webhook_timeout_seconds=0.3, **SOON)
    await hire(service)
    client = await admin(service)

    await asked(service, "one")
    requests = [await hook.received.get() for _ in range(3)]
    await until(lambda: hook_of(client), lambda hook: hook.arrived_deliveries == 1)

    assert len({(request.headers["webhook-id"], request.body) for request in requests}) == 1
    assert all(request.is_signed(SECRET) for request in requests)
    assert await deliveries(client) == []
    assert hook.received.empty()


@pytest.mark.parametrize("wait", ["3600", "Fri, 31 Dec 2999 23:59:59 GMT"])
async def test_a_receiver_that_asks_for_time_is_left_alone_for_it_and_no_longer_than_an_hour(
    serve: Any, hire: Any, listen: Any, told: Any, admin: Any, wait: str
) -> None:
    hook = await listen(f"busy {wait}")
    service = await serve(webhooks=[told(hook)], **SOON)
    await hire(service)
    client = await admin(service)

    await asked(service, "one")
    before = time.time()
    (pending,) = await until(
        lambda: deliveries(client), lambda found: len(found) == 1 and found[0].attempts == 1 and found[0].failure
    )

    assert pending.failure == "it answered 503"
    assert 3500 < pending.next_attempt_time.ToMilliseconds() / 1000 - before < 3700


@pytest.mark.parametrize("wait", ["soon", "-5", "", "Fri, 31 Dec 1999 23:59:59 GMT"])
async def test_a_time_that_nobody_can_read_or_has_passed_is_no_reason_to_wait(
    serve: Any, hire: Any, listen: Any, told: Any, wait: str
) -> None:
    hook = await listen(f"busy {wait}", 200)
    service = await serve(webhooks=[told(hook)], **SOON)
    await hire(service)

    await asked(service, "one")

    assert [(await hook.received.get()).word for _ in range(2)] == ["requested", "requested"]


async def test_what_is_never_taken_becomes_a_dead_letter_that_a_person_has_sent_again_or_drops(
    serve: Any, hire: Any, listen: Any, told: Any, admin: Any
) -> None:
    hook = await listen(500, 500, 500, 500, 200)
    service = await serve(webhooks=[told(hook)], webhook_attempts=2, **SOON)
    await hire(service)
    client = await admin(service)
    await asked(service, "one")
    await asked(service, "two")

    both = await until(lambda: deliveries(client, state=WebhookDelivery.STATE_DEAD), lambda dead: len(dead) == 2)
    first, second = both
    counted = await hook_of(client)
    again = RetryWebhookDeliveryRequest(name=first.name, request_id="r1")
    retried = await client.webhooks.RetryWebhookDelivery(again)
    await until(lambda: hook_of(client), lambda hook: hook.arrived_deliveries == 1)
    dropping = DropWebhookDeliveryRequest(name=second.name, request_id="d1")
    await client.webhooks.DropWebhookDelivery(dropping)
    await client.webhooks.DropWebhookDelivery(dropping)

    assert (first.attempts, first.failure, first.type) == (2, "it answered 500", "dev.perdure.approval.requested")
    assert not first.HasField("next_attempt_time")
    assert (counted.dead_deliveries, counted.pending_deliveries, counted.failure) == (2, 0, "it answered 500")
    assert (counted.endpoint, list(counted.events)) == (
        f"http://127.0.0.1:{hook.port}",
        ["requested", "decided", "expired", "closed", "escalated", "reminded", "delegated", "commented", "voided"],
    )
    assert (retried.attempts, retried.state) == (0, WebhookDelivery.STATE_PENDING)
    assert await deliveries(client) == []
    assert hook.received.qsize() == 5


async def test_a_receiver_that_comes_back_after_a_restart_is_told_of_everything(
    serve: Any, hire: Any, listen: Any, told: Any, admin: Any
) -> None:
    life = AsyncExitStack()
    gone = AsyncExitStack()
    hook = await listen(500, on=gone)
    settings = {"webhooks": [told(hook)], **SOON}
    service = await serve(life, **settings)
    await hire(service)
    await asked(service, "one")
    failed = await hook.received.get()
    await until(lambda: deliveries_of(service), lambda pending: bool(pending) and bool(pending[0].failure))
    await life.aclose()
    await gone.aclose()

    back = await listen(200, port=hook.port)
    again = await serve(**settings)
    await hire(again, name="another")
    await asked(again, "two")
    seen = {(await back.received.get()).headers["webhook-id"] for _ in range(2)}

    assert failed.headers["webhook-id"] in seen


async def deliveries_of(service: Any) -> list[Any]:
    async with Client(service.address) as client:
        return await deliveries(client)


async def test_a_receiver_that_hangs_holds_up_no_run_and_no_other_receiver(
    serve: Any, hire: Any, listen: Any, told: Any
) -> None:
    stuck, well = await listen("hang"), await listen()
    service = await serve(webhooks=[told(stuck, "stuck"), told(well, "well")], webhook_timeout_seconds=60.0)
    await hire(service)

    shown = [await asked(service, f"key-{number}") for number in range(12)]
    for each in shown:
        await approve(service, each)
    words = [(await well.received.get()).word for _ in range(24)]

    assert (words.count("requested"), words.count("decided")) == (12, 12)
    assert stuck.received.qsize() <= 8


async def test_of_several_servers_one_sends_each_event_once(
    serve: Any,
    hire: Any,
    listen: Any,
    told: Any,
    postgres: PostgresServer,
    stack: AsyncExitStack,
    tmp_path: pathlib.Path,
) -> None:
    database = await postgres.make()
    stack.push_async_callback(postgres.drop, database)
    hook = await listen()
    url = database.render_as_string(hide_password=False)
    where = {"database": url, "data_dir": tmp_path / "shared", "webhooks": [told(hook)], **SOON}
    lost = AsyncExitStack()
    servers = [await serve(lost, **where), await serve(**where), await serve(**where)]
    await hire(servers[1])

    shown = await asyncio.gather(*(asked(service, f"key-{n}") for n, service in enumerate(servers * 3)))
    await lost.aclose()
    for each in shown:
        await approve(servers[1], each)
    ids = [(await hook.received.get()).headers["webhook-id"] for _ in range(18)]

    assert len(set(ids)) == 18
    assert await until(lambda: deliveries_of(servers[1]), lambda left: not left) == []
    assert hook.received.empty()


async def test_a_receiver_behind_tls_is_known_by_its_certificate(
    serve: Any, hire: Any, listen: Any, told: Any, admin: Any, tmp_path: pathlib.Path
) -> None:
    ours, theirs = authority(tmp_path / "ours"), authority(tmp_path / "theirs")
    signed = ours.sign("hook", "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(signed.certificate, signed.key)
    hook = await listen(tls=context)
    believed = told(hook, "believed", tls_ca=str(ours.certificate))
    not_believed = told(hook, "not", tls_ca=str(theirs.certificate))
    service = await serve(webhooks=[believed, not_believed], webhook_attempts=1, **SOON)
    await hire(service)
    client = await admin(service)

    await asked(service, "one")
    request = await hook.received.get()
    (dead,) = await until(lambda: deliveries(client, "not", WebhookDelivery.STATE_DEAD), bool)

    assert request.is_signed(SECRET)
    assert dead.failure == "TLS failed: CERTIFICATE_VERIFY_FAILED"
    assert hook.received.empty()


async def test_a_new_webhook_begins_with_what_happens_from_then_on(
    serve: Any, hire: Any, listen: Any, told: Any, admin: Any
) -> None:
    life, hook = AsyncExitStack(), await listen()
    service = await serve(life)
    await hire(service)
    await asked(service, "one")
    await life.aclose()

    again = await serve(webhooks=[told(hook)])
    await hire(again, name="another")
    client = await admin(again)
    await until(lambda: hook_of(client), lambda hook: bool(hook.name))
    await asked(again, "two")

    first = await hook.received.get()
    flows = first.event["data"]["flow"]
    found = await again.approvals.GetApproval(GetApprovalRequest(name=first.event["subject"]))
    assert isinstance(found, Approval)
    assert found.flow == flows
    assert hook.received.empty()


async def test_what_a_person_says_of_a_dead_letter_is_audited_without_what_it_holds(
    serve: Any, hire: Any, listen: Any, told: Any, admin: Any
) -> None:
    hook = await listen(500)
    service = await serve(webhooks=[told(hook)], webhook_attempts=1, **SOON)
    await hire(service)
    client = await admin(service)
    await asked(service, "one")
    (dead,) = await until(lambda: deliveries(client, state=WebhookDelivery.STATE_DEAD), bool)
    await client.webhooks.RetryWebhookDelivery(RetryWebhookDeliveryRequest(name=dead.name, reason="it is back"))
    (dead,) = await until(lambda: deliveries(client, state=WebhookDelivery.STATE_DEAD), bool)
    await client.webhooks.DropWebhookDelivery(DropWebhookDeliveryRequest(name=dead.name))

    events = (await client.audit.ListAuditEvents(ListAuditEventsRequest(resource=dead.name))).events

    assert [event.type for event in events] == ["webhook.dropped", "webhook.retried"]
    assert [dict(event.details) for event in events] == [
        {"event": "dev.perdure.approval.requested", "has_reason": "false"},
        {"event": "dev.perdure.approval.requested", "has_reason": "true"},
    ]
    for text in (str(events), str(dead), str(await hook_of(client))):
        assert [
            word for word in ("path-secret", text_of(SECRET).strip(), "sensitive", "it is back") if word in text
        ] == []

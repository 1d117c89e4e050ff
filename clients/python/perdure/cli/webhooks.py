"""`perdure webhooks`."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Final

import typer

from perdure.cli import names
from perdure.cli.asking import confirm
from perdure.cli.connection import connected
from perdure.cli.lazy import noun
from perdure.cli.lists import DEFAULT_LIMIT, LARGEST_PAGE, list_items, page_size
from perdure.cli.options import Limit, Output, Yes
from perdure.cli.printing.formats import Format, print_brief
from perdure.cli.printing.words import counted
from perdure.client import Client, pages
from perdure.v1.webhooks_pb2 import (
    DropWebhookDeliveryRequest,
    ListWebhookDeliveriesRequest,
    ListWebhooksRequest,
    RetryWebhookDeliveryRequest,
    WebhookDelivery,
)

app = noun("Webhooks: who is told of approvals by HTTP, and what did not arrive there.")

_DELIVERY: Final = re.compile(r"(?:webhooks/)?([^/]+)/(?:deliveries/)?([^/]+)")

WebhookName = Annotated[str, typer.Argument(metavar="WEBHOOK", help="The webhook: its name, or webhooks/{webhook}.")]
Target = Annotated[
    str,
    typer.Argument(
        metavar="DELIVERY", help="The delivery: webhooks/{webhook}/deliveries/{event}; with --all, the webhook."
    ),
]
All = Annotated[bool, typer.Option("--all", help="All dead letters of a webhook.")]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; not kept, but that there was one is.")]


@app.command("list")
@connected
async def list_webhooks(perdure: Client, limit: Limit = DEFAULT_LIMIT, output: Output = Format.TABLE) -> None:
    """List who is told, how much is on its way or dead, and why an attempt failed last."""
    request = ListWebhooksRequest(page_size=page_size(limit))
    await list_items(pages(perdure.webhooks.ListWebhooks, request), lambda page: page.webhooks, limit, output)


@app.command()
@connected
async def pending(
    perdure: Client, webhook: WebhookName, limit: Limit = DEFAULT_LIMIT, output: Output = Format.TABLE
) -> None:
    """List what is on its way to a webhook, and when it is tried next."""
    await _list(perdure, webhook, WebhookDelivery.STATE_PENDING, limit, output)


@app.command()
@connected
async def dead(
    perdure: Client, webhook: WebhookName, limit: Limit = DEFAULT_LIMIT, output: Output = Format.TABLE
) -> None:
    """List dead letters: what was tried as often as the server does, and did not arrive."""
    await _list(perdure, webhook, WebhookDelivery.STATE_DEAD, limit, output)


@app.command()
@connected
async def retry(
    perdure: Client, target: Target, all: All = False, reason: Why = "", output: Output = Format.TABLE
) -> None:
    """Send what did not arrive now, with as many attempts as at first."""
    for delivery in await _meant(perdure, target, all):
        request = RetryWebhookDeliveryRequest(name=delivery.name, reason=reason)
        print_brief(await perdure.webhooks.RetryWebhookDelivery(request), output)


@app.command()
@connected
async def drop(
    perdure: Client,
    target: Target,
    all: All = False,
    reason: Why = "",
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Send something no more, forget it, and show what it was."""
    found = await _meant(perdure, target, all)
    confirm(f"Drop {counted(len(found), 'dead letter') if all else found[0].name}?", yes)
    for delivery in found:
        await perdure.webhooks.DropWebhookDelivery(DropWebhookDeliveryRequest(name=delivery.name, reason=reason))
        print_brief(delivery, output)


async def _list(
    perdure: Client, webhook: str, state: WebhookDelivery.State.ValueType, limit: int, output: Format
) -> None:
    request = ListWebhookDeliveriesRequest(webhook=names.webhook(webhook), state=state, page_size=page_size(limit))
    found = pages(perdure.webhooks.ListWebhookDeliveries, request)
    await list_items(found, lambda page: page.deliveries, limit, output)


async def _meant(perdure: Client, target: str, all: bool) -> list[WebhookDelivery]:
    """The deliveries that are meant: one, or every dead one of a webhook."""
    if all:
        dead = WebhookDelivery.STATE_DEAD
        return [
            one async for one in _each(perdure, ListWebhookDeliveriesRequest(webhook=names.webhook(target), state=dead))
        ]
    match = _DELIVERY.fullmatch(target)
    if match is None:
        said = "name a delivery, webhooks/{webhook}/deliveries/{event}, or say --all of a webhook"
        raise typer.BadParameter(said, param_hint="'DELIVERY'")
    webhook = names.webhook(match[1])
    wanted = WebhookDelivery(name=f"{webhook}/deliveries/{match[2]}")
    every = _each(perdure, ListWebhookDeliveriesRequest(webhook=webhook))
    # One that is not there is asked for all the same: the server says so.
    return [next(iter([one async for one in every if one.name == wanted.name]), wanted)]


async def _each(perdure: Client, request: ListWebhookDeliveriesRequest) -> AsyncIterator[WebhookDelivery]:
    request.page_size = LARGEST_PAGE
    async for page in pages(perdure.webhooks.ListWebhookDeliveries, request):
        for delivery in page.deliveries:
            yield delivery

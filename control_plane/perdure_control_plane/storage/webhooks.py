"""Webhooks and what is on its way to them: `webhooks`, `webhook_deliveries`. Who is one is said by servers' settings."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, exists, func, insert, literal_column, or_, select, text, update
from sqlalchemy.engine import Connection

from perdure_control_plane.domain.errors import NotFound
from perdure_control_plane.domain.webhook import Delivery, WebhookStanding
from perdure_control_plane.storage.tables import webhook_deliveries, webhooks

_COLUMNS: Final = (
    "webhook", "event_id", "type", "subject", "occurred_at", "body", "attempts", "next_at", "attempted_at", "failure",
)  # fmt: skip
_DELIVERIES: Final = select(*(webhook_deliveries.c[name] for name in _COLUMNS))
_PENDING: Final = webhook_deliveries.c.next_at > literal_column("0")
"""As it stands in the condition of the partial index."""

_BEGUN: Final = text(
    "INSERT INTO webhooks (name, position, sender, sender_until, delivered, delivered_at, failed_at, failure)"
    " VALUES (:name, :position, '', 0, 0, 0, 0, '') ON CONFLICT DO NOTHING"
)


class WebhookSpool:
    """Takes changes in, and hands them out to whoever sends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def position(self, name: str) -> int | None:
        """Up to where changes were taken in; None where nobody has begun."""
        found = self._connection.execute(select(webhooks.c.position).where(webhooks.c.name == name)).scalar()
        return None if found is None else int(found)

    def lock(self, name: str, position: int) -> int:
        """The same, which nobody else moves before this transaction ends. A webhook that is new begins at a position."""
        self._connection.execute(_BEGUN, {"name": name, "position": position})
        own = select(webhooks.c.position).where(webhooks.c.name == name).with_for_update()
        return int(self._connection.execute(own).scalar_one())

    def add(self, name: str, deliveries: Sequence[Delivery], position: int, at: int) -> None:
        """Takes events in that are to be sent from a time on, and says that all up to a position are."""
        rows = [{key: getattr(one, key) for key in _COLUMNS} | {"next_at": at} for one in deliveries]
        if rows:
            self._connection.execute(insert(webhook_deliveries), rows)
        self._connection.execute(update(webhooks).where(webhooks.c.name == name).values(position=position))

    def is_due(self, name: str, at: int) -> bool:
        """Whether something is to be sent by a time."""
        due = exists().where(webhook_deliveries.c.webhook == name, _PENDING, webhook_deliveries.c.next_at <= at)
        return bool(self._connection.execute(select(due)).scalar_one())

    def claim(self, name: str, sender: str, at: int, until: int, limit: int) -> list[Delivery]:
        """What a sender is to send now, each counted as an attempt; nothing while another sender has the lease.

        The lease is good until a time, and what is handed out is handed out again then, unless it is settled.
        """
        free = or_(webhooks.c.sender == sender, webhooks.c.sender_until <= at)
        leased = update(webhooks).where(webhooks.c.name == name, free).values(sender=sender, sender_until=until)
        if self._connection.execute(leased).rowcount != 1:
            return []
        due = _DELIVERIES.where(webhook_deliveries.c.webhook == name, _PENDING, webhook_deliveries.c.next_at <= at)
        order = (webhook_deliveries.c.next_at, webhook_deliveries.c.occurred_at, webhook_deliveries.c.event_id)
        claimed = []
        for found in map(_delivery, self._connection.execute(due.order_by(*order).limit(limit)).fetchall()):
            counted = {"attempts": found.attempts + 1, "next_at": until, "attempted_at": at}
            if self._connection.execute(update(webhook_deliveries).where(*_is(found)).values(counted)).rowcount:
                claimed.append(replace(found, attempts=found.attempts + 1, next_at=until, attempted_at=at))
        return claimed

    def let_go(self, name: str, sender: str) -> None:
        """Gives a lease back."""
        own = (webhooks.c.name == name) & (webhooks.c.sender == sender)
        self._connection.execute(update(webhooks).where(own).values(sender_until=0))

    def delivered(self, delivery: Delivery, at: int) -> None:
        """What was handed out has arrived."""
        if self._connection.execute(delete(webhook_deliveries).where(*_is(delivery))).rowcount:
            counted = {"delivered": webhooks.c.delivered + 1, "delivered_at": at}
            self._connection.execute(update(webhooks).where(webhooks.c.name == delivery.webhook).values(counted))

    def failed(self, delivery: Delivery, failure: str, at: int, next_at: int) -> bool:
        """What was handed out has not, and is tried again at a time, or never where that is 0. False where it is gone."""
        told = {"failure": failure, "next_at": next_at}
        if not self._connection.execute(update(webhook_deliveries).where(*_is(delivery)).values(told)).rowcount:
            return False
        noted = {"failed_at": at, "failure": failure}
        self._connection.execute(update(webhooks).where(webhooks.c.name == delivery.webhook).values(noted))
        return True


class WebhookDeliveries:
    """Shows what is on its way and what is dead, and does what a person says of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def standings(self, after: str, limit: int) -> list[WebhookStanding]:
        """How things stand with each webhook that anything was ever taken in for, by name."""
        of_it = webhook_deliveries.c.webhook == webhooks.c.name
        counted = [
            select(func.count()).select_from(webhook_deliveries).where(of_it, which).scalar_subquery()
            for which in (_PENDING, ~_PENDING)
        ]
        told = [webhooks.c[name] for name in ("delivered", "delivered_at", "failed_at", "failure")]
        query = select(webhooks.c.name, *counted, *told).where(webhooks.c.name > after).order_by(webhooks.c.name)
        return [WebhookStanding(*row) for row in self._connection.execute(query.limit(limit))]

    def get(self, webhook: str, event_id: str) -> Delivery:
        """One. Raises NotFound."""
        row = self._connection.execute(_DELIVERIES.where(*_of(webhook, event_id))).first()
        if row is None:
            raise NotFound(f"webhooks/{webhook}/deliveries/{event_id}")
        return _delivery(row)

    def page(self, webhook: str, dead: bool | None, after: tuple[int, str] | None, limit: int) -> list[Delivery]:
        """Those of a webhook that are dead, or are not, or all; the one that happened first comes first."""
        query = _DELIVERIES.where(webhook_deliveries.c.webhook == webhook)
        if dead is not None:
            query = query.where(~_PENDING if dead else _PENDING)
        if after is not None:
            at, event_id = webhook_deliveries.c.occurred_at, webhook_deliveries.c.event_id
            query = query.where(at >= after[0], (at > after[0]) | (event_id > after[1]))
        ordered = query.order_by(webhook_deliveries.c.occurred_at, webhook_deliveries.c.event_id)
        return [_delivery(row) for row in self._connection.execute(ordered.limit(limit))]

    def try_again(self, webhook: str, event_id: str, at: int) -> None:
        """Sends one from a time on, as if it had never been tried."""
        anew = {"attempts": 0, "next_at": at}
        self._connection.execute(update(webhook_deliveries).where(*_of(webhook, event_id)).values(anew))

    def drop(self, webhook: str, event_id: str) -> None:
        """Sends one no more, and forgets it."""
        self._connection.execute(delete(webhook_deliveries).where(*_of(webhook, event_id)))

    def forget(self, before: int, limit: int) -> int:
        """Drops some of what happened before a time, whoever it is for; how many."""
        keys = (webhook_deliveries.c.webhook, webhook_deliveries.c.event_id)
        old = select(*keys).where(webhook_deliveries.c.occurred_at < before).limit(limit)
        found = self._connection.execute(old).fetchall()
        for webhook, event_id in found:
            self.drop(webhook, event_id)
        return len(found)


def _of(webhook: str, event_id: str) -> tuple[ColumnElement[bool], ...]:
    return webhook_deliveries.c.webhook == webhook, webhook_deliveries.c.event_id == event_id


def _is(delivery: Delivery) -> tuple[ColumnElement[bool], ...]:
    """One that nobody else has been handed, or has changed, since."""
    return *_of(delivery.webhook, delivery.event_id), webhook_deliveries.c.attempts == delivery.attempts


def _delivery(row: Sequence[Any]) -> Delivery:
    values = dict(zip(_COLUMNS, row, strict=True))
    return Delivery(**values | {"body": bytes(values["body"])})

"""Secrets of webhooks, and the signatures that are made with them: as Standard Webhooks has them, `v1`."""

import base64
import binascii
import hashlib
import hmac
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from perdure_control_plane.domain.credential import Purpose, ServerCredential
from perdure_services.webhook_settings import WebhookSettings, WebhookUnusable

log = structlog.get_logger(__name__)

PREFIX: Final = "whsec_"
BYTES: Final = (24, 64)
"""A secret has so many at least, and at most."""


class WebhookKeys:
    """The secrets of one webhook, the current one first. They are read whenever something is to be signed."""

    def __init__(self, settings: WebhookSettings) -> None:
        """Raises WebhookUnusable."""
        self._name = settings.name
        self._sources = [_source(settings, "secret")]
        self._files = [settings.secret_file]
        if settings.previous_secret_file is not None or settings.previous_secret_variable:
            self._sources.append(_source(settings, "previous_secret"))
            self._files.append(settings.previous_secret_file)
        self._keys = [read() for read in self._sources]

    def headers(self, event_id: str, at: int, body: bytes) -> list[tuple[str, str]]:
        """The headers by which a receiver knows that a body is ours, sent at a time, in seconds since 1970.

        There is a signature with each secret, so that a receiver may change to the new one whenever it does.
        """
        self._read_again()
        signed = f"{event_id}.{at}.".encode() + body
        macs = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in self._keys]
        return [
            ("webhook-id", event_id),
            ("webhook-timestamp", str(at)),
            ("webhook-signature", " ".join(f"v1,{mac}" for mac in macs)),
            ("perdure-webhook-keys", " ".join(self.key_ids)),
        ]

    @property
    def key_ids(self) -> Sequence[str]:
        """What each secret is called, in their order: the first digits of its hash."""
        return [hashlib.sha256(b"webhook key id" + key).hexdigest()[:8] for key in self._keys]

    def credentials(self) -> list[ServerCredential]:
        """Which secrets there are, for the inventory."""
        self._read_again()
        return [
            ServerCredential(Purpose.WEBHOOK, f"{self._name}/{key_id}", True, place == 0, _written_at(file))
            for place, (key_id, file) in enumerate(zip(self.key_ids, self._files, strict=True))
        ]

    def _read_again(self) -> None:
        try:
            self._keys = [read() for read in self._sources]
        except WebhookUnusable as error:
            log.warning("webhook.secret_not_read_again", webhook=self._name, reason=str(error))


def _source(settings: WebhookSettings, which: str) -> Callable[[], bytes]:
    file: pathlib.Path | None = getattr(settings, f"{which}_file")
    variable: str = getattr(settings, f"{which}_variable")
    if file is not None:
        where = f"webhooks: {which}_file of {settings.name}: {file}"
        return lambda: _key(_content(file, where), where)
    where = f"webhooks: {which}_variable of {settings.name}: {variable}"
    return lambda: _key(os.environ.get(variable, ""), where)


def _written_at(file: pathlib.Path | None) -> int:
    """When a file was last written, in microseconds since 1970; 0 for none, or one that is gone."""
    try:
        return 0 if file is None else file.stat().st_mtime_ns // 1000
    except OSError:
        return 0


def _content(file: pathlib.Path, where: str) -> str:
    try:
        return file.read_text("ascii")
    except OSError as error:
        raise WebhookUnusable(f"{where} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise WebhookUnusable(_unfit(where)) from error


def _key(text: str, where: str) -> bytes:
    text = text.strip()
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (ValueError, binascii.Error) as error:
        raise WebhookUnusable(_unfit(where)) from error
    if not text.startswith(PREFIX) or not BYTES[0] <= len(key) <= BYTES[1]:
        raise WebhookUnusable(_unfit(where))
    return key


def _unfit(where: str) -> str:
    return f"{where} holds no secret: {PREFIX} and then {BYTES[0]} to {BYTES[1]} random bytes in base64"

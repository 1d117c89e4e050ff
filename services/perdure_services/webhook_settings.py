"""Settings of a control plane about webhooks: who is told of approvals, of what, and with which secret."""

import pathlib
import urllib.parse
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from perdure.runlog.instances import NAME
from perdure_control_plane.domain.approval_change import ApprovalChangeKind
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.webhook import WORDS, Patience, Webhook
from perdure_services.identity_settings import LOOPBACK

MOST_WEBHOOKS: Final = 20


class WebhookUnusable(Exception):
    """What the settings name for a webhook cannot be used. The message says what to do, and nothing of a secret."""


_KINDS: Final = {word: kind for kind, word in WORDS.items()}


def _url(url: str) -> str:
    address = urllib.parse.urlsplit(url)
    port = address.port  # which raises ValueError where it is none
    if not address.hostname or port == 0 or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("is no address; write https://HOST/PATH")
    if address.scheme != "https" and not (address.scheme == "http" and address.hostname in LOOPBACK):
        raise ValueError("is not https, and whoever is on the way could read and change what is sent")
    if address.username is not None or address.password is not None or address.fragment:
        raise ValueError("holds a user or a fragment; what proves who sends is the signature")
    return url


def _event(word: str) -> str:
    if word not in _KINDS:
        raise ValueError(f"{word!r} is none of {', '.join(_KINDS)}")
    return word


class WebhookSettings(BaseModel):
    """One receiver: `[[control_plane.webhooks]]` in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    url: Annotated[str, Field(max_length=2048), AfterValidator(_url)]
    secret_file: pathlib.Path | None = None
    secret_variable: str = ""
    previous_secret_file: pathlib.Path | None = None
    previous_secret_variable: str = ""
    events: tuple[Annotated[str, AfterValidator(_event)], ...] = ()
    tls_ca: pathlib.Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_secrets(cls, given: object) -> object:
        if isinstance(given, dict) and {"secret", "previous_secret"} & given.keys():
            raise ValueError("a secret does not stand in the settings; name its file, secret_file, or secret_variable")
        return given

    @model_validator(mode="after")
    def _check_secrets(self) -> Self:
        if (self.secret_file is not None) == bool(self.secret_variable):
            raise ValueError("name one place of the secret: secret_file or secret_variable")
        if self.previous_secret_file is not None and self.previous_secret_variable:
            raise ValueError("name one place of the secret before: previous_secret_file or previous_secret_variable")
        return self

    @property
    def webhook(self) -> Webhook:
        """What the rest of the server knows of it."""
        address = urllib.parse.urlsplit(self.url)
        kinds = frozenset(_KINDS[word] for word in self.events) or frozenset(ApprovalChangeKind)
        return Webhook(self.name, f"{address.scheme}://{address.netloc}", kinds)


def _source(source: str) -> str:
    if not source or not source.isascii() or not source.isprintable() or " " in source:
        raise ValueError("is no reference as events have it, such as https://perdure.example or /perdure")
    return source


def _named_once(webhooks: tuple[WebhookSettings, ...]) -> tuple[WebhookSettings, ...]:
    names = [webhook.name for webhook in webhooks]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two of them are called {name!r}")
    return webhooks


class WebhooksSettings(BaseModel):
    """Who is told, who an event says that it comes from, and how often it is tried."""

    webhooks: Annotated[tuple[WebhookSettings, ...], Field(max_length=MOST_WEBHOOKS), AfterValidator(_named_once)] = ()
    webhook_source: Annotated[str, Field(max_length=256), AfterValidator(_source)] = "/perdure"
    webhook_attempts: Annotated[int, Field(ge=1, le=100)] = 12
    webhook_retry_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0
    webhook_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0

    @property
    def webhook_patience(self) -> Patience:
        """How often, and with which pauses."""
        return Patience(self.webhook_attempts, round(self.webhook_retry_seconds * SECOND))

"""What is encrypted is opened for whoever looks at it, where there are keys; what is kept and checked is not touched."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, TypeVar

import typer
from google.protobuf.message import Message

from perdure.encryption.codec import CannotDecrypt, Codec
from perdure.encryption.messages import opened_message

M = TypeVar("M", bound=Message)


@dataclass(slots=True)
class _Opening:
    """What one command opens with, and of which keys it has said that it has not."""

    codec: Codec
    said: set[str] = field(default_factory=set)

    def closed(self, error: CannotDecrypt) -> None:
        if error.key_id not in self.said:
            self.said.add(error.key_id)
            typer.echo(f"some of this is shown as it is stored: {error}", err=True)


_OPENING: Final[ContextVar[_Opening]] = ContextVar("opening")


def opening_with(codec: Codec) -> None:
    """From now on what this command shows is opened with these keys."""
    _OPENING.set(_Opening(codec))


def opened(message: M) -> M:
    """A message as it is shown. What there is no key for is shown as it is, and said once for each key."""
    opening = _OPENING.get(None) or _Opening(Codec())
    return opened_message(message, opening.codec, opening.closed)

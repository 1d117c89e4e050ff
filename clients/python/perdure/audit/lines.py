"""Exports of the audit trail: a line of JSON for each event and each signed head, after a header and before an end."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from perdure.audit.chain import SealedEvent, SignedHead, canonical
from perdure.audit.events import AuditEvent

FORM: Final = 1
"""Version of the form."""


class ExportUnreadable(ValueError):
    """The text is no export, or a line of it cannot be read."""


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """How far the chain was when it was exported, and how many events were not sealed yet."""

    position: int
    hash: bytes
    unsealed_events: int


Item = SealedEvent | SignedHead | ChainEnd
_SIMPLE: Final = {field.name: field.type for field in fields(AuditEvent) if field.name != "details"}


def header_line() -> bytes:
    """The first line."""
    return _line("header", {"form": FORM})


def line_of(item: Item) -> bytes:
    """The line of an event, a signed head or the end."""
    match item:
        case SealedEvent():
            chained = {"position": item.position, "previous_hash": item.previous_hash.hex(), "hash": item.hash.hex()}
            return _line("event", {**asdict(item.event), "details": dict(item.event.details), **chained})
        case SignedHead():
            return _line("signed_head", _in_hex(asdict(item)))
        case ChainEnd():
            return _line("end", _in_hex(asdict(item)))


def read_lines(lines: Iterable[bytes]) -> Iterator[Item]:
    """What the lines after the header hold. Raises ExportUnreadable."""
    begun = False
    for number, line in enumerate(lines, start=1):
        try:
            ((kind, content),) = json.loads(line).items()
            if not begun:
                _require_header(kind, content)
                begun = True
            else:
                yield _READERS[kind](content)
        except ExportUnreadable:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ExportUnreadable(f"line {number} is none of an audit export") from error
    if not begun:
        raise ExportUnreadable("it is empty")


def _require_header(kind: str, content: Any) -> None:
    if kind != "header" or not isinstance(content, dict):
        raise ExportUnreadable("it does not begin as an audit export does")
    if content.get("form") != FORM:
        raise ExportUnreadable(f"it is of form {content.get('form')}, and this version reads form {FORM}")


def _line(kind: str, content: Mapping[str, object]) -> bytes:
    return canonical({kind: content}) + b"\n"


def _in_hex(document: Mapping[str, Any]) -> dict[str, object]:
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in document.items()}


def _event(content: dict[str, Any]) -> SealedEvent:
    told = dict(content)
    position, previous, own = _whole(told.pop("position")), told.pop("previous_hash"), told.pop("hash")
    simple = {name: type(value) for name, value in told.items() if name != "details"}
    details = {type(value) for value in told["details"].values()}
    if simple != _SIMPLE or not details <= {str}:
        raise ValueError(told)
    canonical(told)  # raises ValueError for what no event says: half of a sign
    return SealedEvent(AuditEvent(**told), position, bytes.fromhex(previous), bytes.fromhex(own))


def _signed_head(content: dict[str, Any]) -> SignedHead:
    texts = {name: bytes.fromhex(content[name]) for name in ("hash", "public_key", "signature")}
    return SignedHead(position=_whole(content["position"]), signed_at=_whole(content["signed_at"]), **texts)


def _end(content: dict[str, Any]) -> ChainEnd:
    return ChainEnd(_whole(content["position"]), bytes.fromhex(content["hash"]), _whole(content["unsealed_events"]))


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(value)
    return value


_READERS: Final[dict[str, Callable[[dict[str, Any]], Item]]] = {
    "event": _event,
    "signed_head": _signed_head,
    "end": _end,
}

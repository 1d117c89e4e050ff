"""The audit trail as commands take it in: from a server or a file, checked on its way, and what is told of it."""

import pathlib
import time
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Final

import typer

from perdure.audit.chain import SealedEvent, SignedHead
from perdure.audit.checker import ChainChecker, Fault
from perdure.audit.events import AuditEvent
from perdure.audit.lines import ChainEnd, ExportUnreadable, Item, read_lines
from perdure.cli.printing.formats import Format, print_document, print_one
from perdure.cli.printing.words import counted
from perdure.v1 import audit_pb2

EVERY_SECONDS: Final = 5.0
"""So often a long look says how far it is."""


@dataclass(slots=True)
class Told:
    """What was taken in. `checker` checks it; `of` is how many events there are, where that is known."""

    checker: ChainChecker | None = None
    of: int = 0
    events: int = 0
    end: ChainEnd | None = None
    _due: float = field(default_factory=lambda: time.monotonic() + EVERY_SECONDS)

    def take(self, item: Item) -> None:
        """Takes the next item in, and says now and then how far that is."""
        match item:
            case SealedEvent():
                self.events += 1
                if self.checker is not None:
                    self.checker.take(item)
            case SignedHead() if self.checker is not None:
                self.checker.take_head(item)
            case ChainEnd():
                self.end = item
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + EVERY_SECONDS
            typer.echo(f"{self.events:,}{f' of {self.of:,}' if self.of else ''} events{self._so_far}", err=True)

    def finish(self) -> None:
        """Compares the end with what it is said to be."""
        if self.checker is None:
            return
        if self.end is None:
            self.checker.faults.append(Fault(self.checker.position + 1, "the export breaks off; its end is missing"))
            self.checker.finish()
        else:
            self.checker.finish(self.end.position, self.end.hash)

    @property
    def unsealed_events(self) -> int:
        """Events that were not sealed yet."""
        return self.end.unsealed_events if self.end is not None else 0

    @property
    def unsealed_words(self) -> str:
        """The same in words."""
        return f"{counted(self.unsealed_events, 'event')} not sealed yet"

    @property
    def _so_far(self) -> str:
        if self.checker is None:
            return ""
        first = self.checker.first_fault
        return f", first fault at position {first.position}" if first else ", no fault so far"


async def items(stream: AsyncIterable[audit_pb2.ExportAuditEventsResponse]) -> AsyncIterator[Item]:
    """The items of a server's stream."""
    async for response in stream:
        match response.WhichOneof("item"):
            case "event":
                yield _sealed(response.event)
            case "signed_head":
                yield _signed(response.signed_head)
            case "end":
                end = response.end
                yield ChainEnd(end.position, end.hash, end.unsealed_events)


async def checked_pieces(stream: AsyncIterable[Item], told: Told) -> AsyncIterator[Item]:
    """The items, each of which is taken in."""
    async for item in stream:
        told.take(item)
        yield item


def check_export(path: pathlib.Path, checker: ChainChecker) -> Told:
    """Checks a file. Raises BadParameter where it is no export."""
    told = Told(checker)
    try:
        with path.open("rb") as file:
            for item in read_lines(file):
                told.take(item)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}", param_hint="'--export'") from error
    except ExportUnreadable as error:
        if not told.events:
            raise typer.BadParameter(f"{path}: {error}", param_hint="'--export'") from error
        checker.faults.append(Fault(checker.position + 1, str(error)))
    return told


def print_head(head: audit_pb2.AuditHead, output: Format) -> None:
    """Shows how far the chain is, and what to keep of it."""
    kept = f"{head.position}:{head.hash.hex()}"
    if output is Format.TABLE:
        print_one(head, output)
        typer.echo(f"keep this somewhere else, for `perdure audit verify --remembered`: {kept}", err=True)
        return
    signed = head.signed_head
    document: dict[str, object] = {
        "position": head.position,
        "hash": head.hash.hex(),
        "remembered": kept,
        "unsealed_events": head.unsealed_events,
        "pruned_position": head.pruned_position,
        "public_key": head.public_key.hex(),
    }
    if head.HasField("signed_head"):
        document["signed_head"] = {
            "position": signed.position,
            "hash": signed.hash.hex(),
            "sign_time": signed.sign_time.ToJsonString(),
            "public_key": signed.public_key.hex(),
            "signature": signed.signature.hex(),
        }
    print_document(document, output)


def print_told(told: Told, checker: ChainChecker, output: Format) -> None:
    """Prints every fault, the first position first, and what was looked at."""
    faults = sorted(checker.faults, key=lambda fault: fault.position)
    if output is not Format.TABLE:
        print_document(_document(told, checker, faults), output)
        return
    for fault in faults:
        typer.echo(f"position {fault.position}: {fault.message}")
    span = f" from position {checker.first} to {checker.position}" if checker.events else ""
    signed = f"signed up to position {checker.signed}" if checker.signed else "not signed"
    typer.echo(f"{counted(checker.events, 'event')}{span}, {signed}, {told.unsealed_words}", err=True)
    if checker.remembers_too_early:
        typer.echo("what is remembered was pruned; nothing could be compared with it", err=True)
    verdict = f"broken: the first fault is at position {faults[0].position}" if faults else "whole"
    typer.echo(f"the chain is {verdict}", err=True)
    if not faults:
        typer.echo(f"it ends at {checker.position}:{checker.hash.hex()}", err=True)


def _document(told: Told, checker: ChainChecker, faults: list[Fault]) -> dict[str, object]:
    return {
        "events": checker.events,
        "first_position": checker.first,
        "last_position": checker.position,
        "hash": checker.hash.hex(),
        "signed_position": checker.signed,
        "public_keys": sorted(key.hex() for key in checker.seen_keys),
        "unsealed_events": told.unsealed_events,
        "remembered_compared": checker.remembered is not None and not checker.remembers_too_early,
        "faults": [asdict(fault) for fault in faults],
    }


def _sealed(message: audit_pb2.AuditEvent) -> SealedEvent:
    event = AuditEvent(
        event_id=message.name.removeprefix("auditEvents/"),
        recorded_at=message.record_time.ToMicroseconds(),
        type=message.type,
        principal=message.principal,
        authenticated=message.authenticated,
        peer=message.peer,
        method=message.method,
        resource=message.resource,
        outcome=audit_pb2.AuditEvent.Outcome.Name(message.outcome).removeprefix("OUTCOME_"),
        reason=message.reason,
        request_id=message.request_id,
        details=dict(message.details),
    )
    return SealedEvent(event, message.position, message.previous_hash, message.hash)


def _signed(message: audit_pb2.SignedAuditHead) -> SignedHead:
    at = message.sign_time.ToMicroseconds()
    return SignedHead(message.position, message.hash, at, message.public_key, message.signature)

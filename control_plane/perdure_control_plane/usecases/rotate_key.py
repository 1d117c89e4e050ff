"""Gives a key a new text."""

from dataclasses import dataclass

from perdure.audit.events import AuditType
from perdure_control_plane.domain.api_key import ApiKey, KeyState, KeyTexts
from perdure_control_plane.domain.audit import Act, of_key
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import field_invalid
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


@dataclass(frozen=True, slots=True)
class Rotating:
    """Which key gets a new text; durations are in microseconds. With `time_to_live` 0 it expires when it did."""

    key_name: str
    overlap: int
    """How long the text before is good, too."""
    time_to_live: int
    request_id: str


async def rotate_key(store: Store, texts: KeyTexts, caller: Caller, asked: Rotating) -> tuple[ApiKey, str]:
    """Returns the key and its new text, which nobody can read again: a repetition has an empty one.

    Raises NotFound, RequestIdReused, and FieldInvalid where the key was revoked, or has expired and would stay so.
    """

    def body(tx: Transaction) -> tuple[ApiKey, str]:
        content = (asked.overlap, asked.time_to_live)
        if is_repetition(tx, caller, asked.request_id, "RotateKey", f"keys/{asked.key_name}", *content):
            return tx.keys.get(asked.key_name), ""
        before = tx.keys.find_live(asked.key_name)
        if before is None:
            revoked = tx.keys.get(asked.key_name)
            raise field_invalid(
                "name", f"{revoked.name} is revoked for good; make another key, which may have its name"
            )
        if not asked.time_to_live and before.state(tx.now) is KeyState.EXPIRED:
            raise field_invalid("time_to_live", "is required: the key has expired, and a new text would be no better")
        expires_at = tx.now + asked.time_to_live if asked.time_to_live else before.expires_at
        text = texts.new(before.key_id)
        after = before.rotated(texts.digest(text), asked.overlap, expires_at, tx.now)
        tx.keys.save(after)
        tx.audit.record(Act(AuditType.KEY_ROTATED, caller, after.name, asked.request_id, of_key(after)))
        return after, text

    return await store.write(body)

"""Makes a key by which callers say who they are."""

from dataclasses import dataclass

from perdure.audit.events import AuditType
from perdure_control_plane.domain.api_key import ApiKey, KeyTexts, new_key_id
from perdure_control_plane.domain.audit import Act, of_key
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import AlreadyExists
from perdure_control_plane.domain.ids import Principal
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a key is to be. `time_to_live` is in microseconds; 0: it does not expire."""

    key_name: str
    role: Role
    time_to_live: int
    request_id: str


async def create_key(store: Store, texts: KeyTexts, caller: Caller, asked: NewKey) -> tuple[ApiKey, str]:
    """Makes the key and returns it with its text, which nobody can read again: a repetition has an empty one.

    Raises AlreadyExists, RequestIdReused.
    """
    key_id = new_key_id()
    text = texts.new(key_id)

    def body(tx: Transaction) -> tuple[ApiKey, str]:
        content = (asked.role.value, asked.time_to_live)
        if is_repetition(tx, caller, asked.request_id, "CreateKey", f"keys/{asked.key_name}", *content):
            return tx.keys.get(asked.key_name), ""
        if tx.keys.find_live(asked.key_name) is not None:
            raise AlreadyExists(f"keys/{asked.key_name}")
        made = ApiKey(
            key_id=key_id,
            key_name=asked.key_name,
            role=asked.role,
            digest=texts.digest(text),
            created_at=tx.now,
            created_by=caller.principal,
            expires_at=tx.now + asked.time_to_live if asked.time_to_live else 0,
            rotated_at=tx.now,
            previous_digest=b"",
            previous_until=0,
            revoked_at=0,
            revoked_by=Principal(""),
        )
        tx.keys.add(made)
        tx.audit.record(Act(AuditType.KEY_CREATED, caller, made.name, asked.request_id, of_key(made)))
        return made, text

    return await store.write(body)

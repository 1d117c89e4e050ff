"""Keys of callers: made, rotated and revoked, known by their texts for as long as they are good."""

import json
from typing import Any

import pytest
from sqlalchemy import select

from perdure_control_plane.domain.api_key import ApiKey, KeyState, KeyTexts
from perdure_control_plane.domain.caller import OPEN_CALLER, Caller
from perdure_control_plane.domain.errors import (
    AlreadyExists,
    FieldInvalid,
    NotFound,
    PerdureError,
    RequestIdReused,
    Unauthenticated,
)
from perdure_control_plane.domain.ids import Principal
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.storage.tables import audit_events
from perdure_control_plane.usecases.create_key import NewKey, create_key
from perdure_control_plane.usecases.known_keys import KNOWN_SECONDS, KnownKeys
from perdure_control_plane.usecases.revoke_key import revoke_key
from perdure_control_plane.usecases.rotate_key import Rotating, rotate_key

TEXTS = KeyTexts(b"secret of the server")
HOUR = 3600 * SECOND


async def make(
    house: Any, name: str = "ci", role: Role = Role.OPERATOR, lives: int = 0, request: str = ""
) -> tuple[ApiKey, str]:
    return await create_key(house.store, TEXTS, OPEN_CALLER, NewKey(name, role, lives, request))


async def rotate(
    house: Any, name: str = "ci", overlap: int = HOUR, lives: int = 0, request: str = ""
) -> tuple[ApiKey, str]:
    return await rotate_key(house.store, TEXTS, OPEN_CALLER, Rotating(name, overlap, lives, request))


async def revoke(house: Any, name: str = "ci") -> ApiKey:
    return await revoke_key(house.store, Caller(Principal("keys/root"), authenticated=True), name, "")


@pytest.fixture
def known(house: Any, clock: Any) -> KnownKeys:
    """What a server knows of keys; its own clock goes with the store's."""
    return KnownKeys(house.store, TEXTS, lambda: clock() / SECOND)


async def cause(known: KnownKeys, text: str) -> str:
    """Why a text is refused; empty where it is not."""
    try:
        await known.check(text)
    except Unauthenticated as error:
        return error.metadata["cause"]
    return ""


async def test_a_key_is_known_by_its_text_and_by_no_other(house: Any, known: KnownKeys) -> None:
    made, text = await make(house)
    other, other_text = await make(house, "other", Role.VIEWER)

    assert await known.check(text) == made
    assert await known.check(other_text) == other
    mixed = text[:24] + other_text[24:]
    assert await cause(known, mixed) == "unknown"
    assert await cause(KnownKeys(house.store, KeyTexts(b"of another"), lambda: 0.0), text) == "unknown"


async def test_no_part_of_a_secret_is_in_the_store(house: Any) -> None:
    made, text = await make(house)

    row = await house.store.read(lambda tx: tx.keys.find(made.key_id))

    secret = text.rpartition("_")[2]
    assert secret not in repr(row)
    assert bytes.fromhex(secret) not in (row.digest, row.previous_digest)


async def test_of_one_name_one_key_is_good_and_a_revoked_one_leaves_it_free(house: Any, known: KnownKeys) -> None:
    first, first_text = await make(house)
    with pytest.raises(AlreadyExists):
        await make(house)

    revoked = await revoke(house)
    second, second_text = await make(house)

    assert (revoked.state(0), revoked.revoked_by) == (KeyState.REVOKED, "keys/root")
    assert await house.store.read(lambda tx: tx.keys.get("ci")) == second
    assert [await cause(known, text) for text in (first_text, second_text)] == ["revoked", ""]
    assert first.key_id != second.key_id


async def test_a_key_that_is_changed_here_is_refused_at_once_and_elsewhere_after_two_seconds(
    house: Any, known: KnownKeys, clock: Any
) -> None:
    elsewhere = KnownKeys(house.store, TEXTS, lambda: clock() / SECOND)
    made, text = await make(house)
    assert [await cause(one, text) for one in (known, elsewhere)] == ["", ""]

    await revoke(house)
    known.forget(made.key_id)

    assert [await cause(one, text) for one in (known, elsewhere)] == ["revoked", ""]
    clock.advance(KNOWN_SECONDS)
    assert await cause(elsewhere, text) == "revoked"


async def test_the_text_before_is_good_for_as_long_as_was_said_and_the_one_before_that_no_more(
    house: Any, known: KnownKeys, clock: Any
) -> None:
    made, oldest = await make(house)
    _, older = await rotate(house, overlap=HOUR)
    rotated, newest = await rotate(house, overlap=HOUR)

    assert [await cause(known, text) for text in (oldest, older, newest)] == ["unknown", "", ""]
    clock.advance(3600)
    assert [await cause(known, text) for text in (older, newest)] == ["unknown", ""]
    assert (rotated.key_id, rotated.created_at) == (made.key_id, made.created_at)


async def test_without_overlap_the_text_before_is_good_for_nothing(house: Any, known: KnownKeys) -> None:
    _, before = await make(house)
    _, after = await rotate(house, overlap=0)

    assert [await cause(known, text) for text in (before, after)] == ["unknown", ""]


async def test_a_key_expires_by_the_store_s_clock_even_while_it_is_believed(
    house: Any, known: KnownKeys, clock: Any
) -> None:
    _, text = await make(house, lives=HOUR)
    clock.advance(3600 - KNOWN_SECONDS / 2)
    assert await cause(known, text) == ""

    clock.advance(KNOWN_SECONDS / 2)

    assert await cause(known, text) == "expired"
    assert not await house.store.read(lambda tx: tx.keys.any_live(tx.now))


async def test_an_expired_key_is_good_again_with_a_new_text_and_a_new_expiry(
    house: Any, known: KnownKeys, clock: Any
) -> None:
    await make(house, lives=HOUR)
    clock.advance(3600)

    with pytest.raises(FieldInvalid, match="time_to_live"):
        await rotate(house)
    _, text = await rotate(house, lives=HOUR)

    assert await cause(known, text) == ""
    with pytest.raises(AlreadyExists):
        await make(house)


async def test_a_repetition_makes_no_second_key_and_has_no_text(house: Any, known: KnownKeys) -> None:
    made, text = await make(house, request="r1")
    again, nothing = await make(house, request="r1")
    _, newer = await rotate(house, request="r2", overlap=0)
    repeated, still_nothing = await rotate(house, request="r2", overlap=0)

    assert (again, nothing, still_nothing) == (made, "", "")
    assert await cause(known, newer) == ""
    assert repeated.key_id == made.key_id
    assert text != newer
    with pytest.raises(RequestIdReused):
        await make(house, role=Role.VIEWER, request="r1")


async def test_a_revoked_key_stays_as_it_is(house: Any) -> None:
    await make(house)
    revoked = await revoke(house)

    assert await revoke(house) == revoked
    with pytest.raises(FieldInvalid, match="keys/ci is revoked for good"):
        await rotate(house)


@pytest.mark.parametrize("change", [rotate, revoke])
async def test_a_key_that_is_not_there_is_not_found(house: Any, change: Any) -> None:
    with pytest.raises(NotFound) as refused:
        await change(house, "nobody")

    assert isinstance(refused.value, PerdureError)
    assert refused.value.metadata["resource"] == "keys/nobody"


async def test_what_becomes_of_a_key_is_written_down_with_its_commit_and_without_its_text(house: Any) -> None:
    made, text = await make(house, request="r1")
    await make(house, request="r1")
    _, other = await rotate(house)
    await revoke(house)
    await revoke(house)

    rows = await house.execute(select(audit_events).where(audit_events.c.type.like("key.%")))

    said = [(row.type, row.resource, json.loads(row.details)) for row in rows]
    details = {"role": "OPERATOR", "key_id": made.key_id, "expires": "never"}
    assert sorted(said, key=repr) == [(f"key.{what}", "keys/ci", details) for what in ("created", "revoked", "rotated")]
    for secret in (text, other):
        assert secret.rpartition("_")[2] not in repr(rows)


async def test_keys_are_listed_by_name_and_age_from_page_to_page(house: Any, clock: Any) -> None:
    for name in ("b", "a", "b", "c"):
        clock.advance(1)
        if name == "b":
            live = await house.store.read(lambda tx: tx.keys.find_live("b"))
            if live is not None:
                await revoke(house, "b")
        await make(house, name)

    def page(after: tuple[str, int, str], limit: int, revoked: bool) -> Any:
        return house.store.read(lambda tx: tx.keys.page(after, limit, revoked=revoked))

    everything = await page(("", 0, ""), 10, True)
    first = await page(("", 0, ""), 2, True)
    rest = await page((first[-1].key_name, first[-1].created_at, first[-1].key_id), 10, True)

    assert [key.key_name for key in everything] == ["a", "b", "b", "c"]
    assert [key.state(0) for key in everything[1:3]] == [KeyState.REVOKED, KeyState.LIVE]
    assert first + rest == everything
    assert [key.key_name for key in await page(("", 0, ""), 10, False)] == ["a", "b", "c"]

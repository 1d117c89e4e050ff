"""Which secrets there are is told by id, count and age."""

from typing import Any

from perdure_control_plane.domain.api_key import KeyTexts
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.credential import KeyCounts, ProviderCredential, Purpose, ServerCredential
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.usecases.create_key import NewKey, create_key
from perdure_control_plane.usecases.revoke_key import revoke_key
from perdure_control_plane.usecases.rotate_key import Rotating, rotate_key
from perdure_control_plane.usecases.take_inventory import take_inventory

TEXTS = KeyTexts(b"secret of the server")
HOUR = 3600 * SECOND


async def make(house: Any, name: str, lives: int = 0) -> None:
    await create_key(house.store, TEXTS, OPEN_CALLER, NewKey(name, Role.VIEWER, lives, ""))


async def test_where_there_is_nothing_nothing_is_counted(house: Any) -> None:
    found = await take_inventory(house.store, [])

    assert (found.server, found.providers, found.keys) == ([], [], KeyCounts(0, 0, 0, 0, 0))


async def test_keys_of_callers_are_counted_and_the_oldest_and_the_next_to_expire_are_known(
    house: Any, clock: Any
) -> None:
    began = clock.now
    await make(house, "rotated")
    await make(house, "revoked")
    await make(house, "expires", lives=HOUR)
    clock.advance(10)
    await make(house, "later", lives=48 * HOUR)
    clock.advance(10)
    await make(house, "for-ever")
    await rotate_key(house.store, TEXTS, OPEN_CALLER, Rotating("rotated", 0, 0, ""))
    await revoke_key(house.store, OPEN_CALLER, "revoked", "")
    before = (await take_inventory(house.store, [])).keys
    clock.advance(3600)
    after = (await take_inventory(house.store, [])).keys

    assert before == KeyCounts(4, 0, 1, began, began + HOUR)
    assert after == KeyCounts(3, 1, 1, began + 10 * SECOND, began + 10 * SECOND + 48 * HOUR)


async def test_providers_are_those_of_executors_that_live(house: Any, clock: Any) -> None:
    own = [ServerCredential(Purpose.PAGE_TOKENS, "", True, True, 1)]
    await house.connect("gone", providers=("builtin", "openai"))
    clock.advance(house.timing.lease / SECOND + 1)
    await house.connect("x", providers=("anthropic", "builtin"))
    await house.connect("y", providers=("builtin",))

    found = await take_inventory(house.store, own)

    assert found.server == own
    assert found.providers == [ProviderCredential("anthropic", 1, 1), ProviderCredential("builtin", 2, 0)]

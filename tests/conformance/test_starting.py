"""Starting flows: once for each key, pinned to what was reviewed, and nothing half done where a start is refused."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from perdure.runlog.states import RunState
from perdure_control_plane.domain import errors
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.flow import FlowStatus, RequestSource
from perdure_control_plane.domain.ids import FlowId, PlaybookId, Principal, SessionId
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.storage.postgres_driver import PostgresDriver
from perdure_control_plane.usecases import start_flow
from perdure_control_plane.usecases.create_session import create_session
from perdure_control_plane.usecases.ports import Order
from perdure_control_plane.usecases.start_flow import FlowStarter, Start
from perdure_control_plane.usecases.view_flow import get_flow
from tests.conformance.stores import ON_POSTGRES

STRICT = """
playbook_id: strict
version: 1.0.0
title: Strict
objective: Take what it asked for
inputs: {type: object, properties: {n: {type: integer}}, required: [n], additionalProperties: false}
nodes:
  - {id: a, type: function, function: noop, effect: none}
"""

FOREIGN = """
playbook_id: foreign
version: 1.0.0
title: Foreign
objective: Ask somebody else's model
runtime_defaults: {provider: openai, model: gpt-5}
nodes:
  - {id: a, type: agentic, agent: thinker, prompt: think}
"""


async def test_a_start_is_one_flow_one_queued_run_and_its_first_two_events(house: Any, manifests: Any) -> None:
    before = await house.counts()
    run_id = await house.start(manifests["line"])
    after = await house.counts()

    run = await house.run(run_id)
    assert run.head.state is RunState.QUEUED
    assert await house.kinds(run_id) == ["run_created", "run_input"]
    assert {table: after[table] - before[table] for table in ("flows", "runs", "run_queue", "run_events")} == {
        "flows": 1,
        "runs": 1,
        "run_queue": 1,
        "run_events": 2,
    }


async def test_the_same_key_returns_the_same_flow(house: Any) -> None:
    starter, asked = await _ready(house)

    first = await starter.start(ANYBODY, asked())
    again = await starter.start(ANYBODY, asked())

    assert again.flow == first.flow


@ON_POSTGRES
async def test_a_start_that_is_stored_when_the_connection_is_lost_is_not_made_twice(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    starter, asked = await _ready(house)
    await starter.start(ANYBODY, asked(idempotency_key="before"))
    execute = PostgresDriver.execute_alone

    def loses_its_connection(driver: Any, sql: str, parameters: Any = ()) -> Any:
        result = execute(driver, sql, parameters)
        if "INSERT INTO flows" in sql:
            raise asyncpg.ConnectionDoesNotExistError
        return result

    monkeypatch.setattr(PostgresDriver, "execute_alone", loses_its_connection)
    with pytest.raises(errors.StoreUnavailable):
        await starter.start(ANYBODY, asked())
    counted = await house.counts()
    again = await starter.start(ANYBODY, asked())

    assert (await house.counts())["runs"] == counted["runs"] == 2
    assert (await house.run(again.flow.root_run_id)).head.state is RunState.QUEUED


async def test_the_same_key_shows_the_flow_as_it_is_by_then(house: Any) -> None:
    starter, asked = await _ready(house)
    await starter.start(ANYBODY, asked())
    (held,) = await house.claim(await house.connect())
    await held.node("a")
    await held.node("b", effect="AT_MOST_ONCE")
    await held.send(held.ended())

    again = await starter.start(ANYBODY, asked())

    assert (again.status, again.settled) == (FlowStatus.SUCCEEDED, True)
    assert again == await get_flow(house.store, again.flow.flow_id)


async def test_of_many_starts_under_one_key_at_once_one_begins(house: Any) -> None:
    starter, asked = await _ready(house)
    before = await house.counts()

    views = await asyncio.gather(*(starter.start(ANYBODY, asked()) for _ in range(20)))

    after = await house.counts()
    assert len({view.flow.flow_id for view in views}) == 1
    assert after["runs"] - before["runs"] == 1


async def test_a_key_belongs_to_its_principal(house: Any) -> None:
    starter, asked = await _ready(house)

    mine = await starter.start(ANYBODY, asked())
    theirs = await starter.start(Caller(Principal("somebody"), authenticated=True), asked())

    assert mine.flow.flow_id != theirs.flow.flow_id


@pytest.mark.parametrize(
    "change",
    [
        {"content": "something else"},
        {"input": b'{"n": 1}'},
        {"metadata": {"ticket": "2"}},
        {"flow_id": FlowId("mine")},
        {"queue": "other"},
        {"priority": 3},
        {"timeout_micros": 1_000_000},
        {"source": RequestSource(actor_id="ada")},
    ],
)
async def test_the_same_key_with_another_request_is_refused(house: Any, change: dict[str, Any]) -> None:
    starter, asked = await _ready(house)
    await starter.start(ANYBODY, asked())
    before = await house.counts()

    with pytest.raises(errors.RequestIdReused):
        await starter.start(ANYBODY, asked(**change))

    assert await house.counts() == before


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"digest": ""}, errors.DigestMismatch, None),
        ({"digest": "0" * 64}, errors.DigestMismatch, None),
        ({"playbook_id": PlaybookId("nothing")}, errors.NotFound, None),
        ({"version": "9.9.9"}, errors.NotFound, None),
        ({"session_id": SessionId("nowhere")}, errors.NotFound, None),
        ({"metadata": {"perdure_flow": "x"}}, errors.FieldInvalid, "request.metadata"),
        ({"provider": "openai"}, errors.FieldInvalid, "request.provider"),
        ({"input": b"[]"}, errors.FieldInvalid, "request.input"),
        ({"input": b"{"}, errors.FieldInvalid, "request.input"),
        ({"input": b'{"a":"' + b"x" * (5 << 20) + b'"}'}, errors.TooLarge, "request.input"),
    ],
)
async def test_an_unfit_start_changes_nothing(
    house: Any, change: dict[str, Any], error: type[errors.PerdureError], field: str | None
) -> None:
    starter, asked = await _ready(house)
    before = await house.counts()

    with pytest.raises(error) as refused:
        await starter.start(ANYBODY, asked(**change))

    assert await house.counts() == before
    if field is not None:
        assert [fault.field for fault in refused.value.faults] == [field]


@pytest.mark.parametrize(
    ("given", "field"),
    [(b"{}", "request.input"), (b'{"n": "one"}', "request.input.n"), (b'{"n": 1, "m": 2}', "request.input")],
)
async def test_an_input_is_what_the_playbook_asks_for(house: Any, given: bytes, field: str) -> None:
    starter, asked = await _ready(house, STRICT, input=b'{"n": 1}')

    with pytest.raises(errors.FieldInvalid) as refused:
        await starter.start(ANYBODY, asked(input=given))

    assert refused.value.faults[0].field == field
    assert (await starter.start(ANYBODY, asked())).status is FlowStatus.RUNNING


async def test_an_input_that_fits_no_pattern_is_refused_however_many_ways_there_are_to_read_it(house: Any) -> None:
    nests = STRICT.replace("{n: {type: integer}}", '{n: {pattern: "^([a-z0-9]+-?)+$"}}')
    starter, asked = await _ready(house, nests, input=b'{"n": "one"}')

    with pytest.raises(errors.FieldInvalid) as refused:
        await starter.start(ANYBODY, asked(input=b'{"n": "my-very-long-service-name-in-production-eu-central_1"}'))

    assert refused.value.faults == (
        errors.FieldFault("request.input.n", "does not satisfy pattern: '^([a-z0-9]+-?)+$'"),
    )
    assert (await starter.start(ANYBODY, asked())).status is FlowStatus.RUNNING


async def test_a_plan_that_was_not_started_for_long_is_read_again(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_flow, "PLANS_KEPT", 1)
    line, strict = await house.asked(), await house.asked(STRICT, input=b'{"n": 1}')
    store = Counting(house.store)
    starter = FlowStarter(store, house.limits)

    reads = []
    for number, asked in enumerate((line, line, strict, strict, line)):
        view = await starter.start(ANYBODY, replace(asked, idempotency_key=f"key-{number}"))
        assert view.flow.playbook_id == asked.playbook_id
        reads.append(store.plans_read)

    assert reads == [1, 1, 2, 2, 3]


async def test_a_flow_id_is_given_once(house: Any) -> None:
    starter, asked = await _ready(house)
    await starter.start(ANYBODY, asked(flow_id=FlowId("mine")))

    with pytest.raises(errors.AlreadyExists):
        await starter.start(ANYBODY, asked(flow_id=FlowId("mine"), idempotency_key="another"))


async def test_a_full_queue_refuses_and_says_after_how_many(house: Any) -> None:
    _, asked = await _ready(house)
    starter = FlowStarter(house.store, Limits(max_queued_runs=1))
    await starter.start(ANYBODY, asked())

    with pytest.raises(errors.QueueFull) as refused:
        await FlowStarter(house.store, Limits(max_queued_runs=1)).start(ANYBODY, asked(idempotency_key="another"))

    assert refused.value.metadata["limit"] == "1"


async def test_a_provider_that_no_executor_has_is_refused_by_name(house: Any) -> None:
    starter, asked = await _ready(house, FOREIGN)
    await house.connect(providers=("builtin",))

    with pytest.raises(errors.ProviderNotConfigured) as refused:
        await starter.start(ANYBODY, asked())
    await house.connect("y", providers=("builtin", "openai"))

    assert refused.value.metadata["provider"] == "openai"
    assert (await starter.start(ANYBODY, asked())).status is FlowStatus.RUNNING


async def test_the_way_back_from_a_run_to_its_flow_is_written_by_the_server(house: Any) -> None:
    starter, asked = await _ready(house)

    view = await starter.start(ANYBODY, asked(metadata={"ticket": "7"}))

    shown = (await get_flow(house.store, view.flow.flow_id)).flow.metadata
    assert shown["ticket"] == "7"
    assert shown["perdure_flow"]["flow_id"] == view.flow.flow_id
    assert shown["perdure_flow"]["digest"] == asked().digest


async def test_a_request_id_makes_a_session_for_each_principal(house: Any) -> None:
    somebody = Caller(Principal("somebody"), authenticated=True)

    mine = await create_session(house.store, ANYBODY, None, "request")
    again = await create_session(house.store, ANYBODY, None, "request")
    theirs = await create_session(house.store, somebody, None, "request")

    assert again == mine
    assert theirs.session_id != mine.session_id


class Counting:
    """A store that counts how often a plan was read from it."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.plans_read = 0

    async def read(self, body: Callable[[Any], Any]) -> Any:
        found = await self._store.read(body)
        self.plans_read += isinstance(found, tuple)  # a release and its plan
        return found

    async def write(self, body: Callable[[Any], Any], *order: Order) -> Any:
        return await self._store.write(body, *order)


ANYBODY = Caller(Principal("anybody"), authenticated=False)


async def _ready(house: Any, manifest: str = "", **fields: Any) -> tuple[FlowStarter, Callable[..., Start]]:
    """What starts flows, and what makes the request, which may be changed."""
    asked = await (house.asked(manifest, **fields) if manifest else house.asked(**fields))
    return FlowStarter(house.store, house.limits), lambda **change: replace(asked, **change)

"""Starts a playbook version: flow, root run, first events and place in the queue in one commit."""

import hashlib
import json
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from google.protobuf.duration_pb2 import Duration

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog import FOLD_VERSION
from perdure.runlog.json_objects import JsonObject
from perdure.v1 import instances_pb2, plans_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import ConcurrencyPlace, RunEvent
from perdure_control_plane.domain.audit import Act
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.concurrency import place_of
from perdure_control_plane.domain.errors import (
    AlreadyExists,
    ConcurrencyLimitReached,
    DigestMismatch,
    NotFound,
    ProviderNotConfigured,
    RequestIdReused,
    TooLarge,
    field_invalid,
)
from perdure_control_plane.domain.flow import (
    Flow,
    FlowView,
    RequestSource,
)
from perdure_control_plane.domain.ids import (
    FlowId,
    PlaybookId,
    RunId,
    SessionId,
    new_id,
)
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.domain.origin import requested_by
from perdure_control_plane.domain.playbook import Release, check_startable, version_name
from perdure_control_plane.domain.request import request_digest
from perdure_control_plane.domain.session import Session
from perdure_control_plane.usecases.json_objects import check_input, json_object
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.queue_depth import Depths, QueueDepth
from perdure_control_plane.usecases.readings.unasked_effects import acts_unasked
from perdure_control_plane.usecases.view_flow import view, view_of_new

RESERVED_METADATA: Final = "perdure_flow"
"""Metadata key under which the server writes what leads from a run back to its flow."""

BUILTIN_PROVIDER: Final = "builtin"
"""The provider that every executor has."""

PLANS_KEPT: Final = 200
"""Most plans in memory."""


@dataclass(frozen=True, slots=True)
class Start:
    """A request to start. `playbook_id`, `version` and `digest` say what was reviewed."""

    playbook_id: PlaybookId
    version: str
    digest: str
    session_id: SessionId
    idempotency_key: str
    flow_id: FlowId | None
    content: str
    input: bytes
    metadata: JsonObject
    provider: str
    source: RequestSource
    queue: str
    priority: int
    timeout_micros: int
    labels: tuple[str, ...]

    def metadata_json(self) -> str:
        """The metadata in a form that equal ones share."""
        return json.dumps(self.metadata, sort_keys=True)

    def digest_of_request(self) -> bytes:
        """What two requests under one key are compared by."""
        source = (self.source.source_plugin, self.source.source_kind, self.source.actor_id)
        what = (self.playbook_id, self.version, self.digest, self.session_id, self.flow_id or "")
        how = (self.provider, self.queue, self.priority, self.timeout_micros, *self.labels)
        return request_digest(what, self.content, self.input, self.metadata_json(), source, how)


@dataclass(frozen=True, slots=True)
class Checked:
    """A start whose version, digest and input are right, with its plan and the input as it is stored."""

    asked: Start
    plan: plans_pb2.Plan
    value: bytes
    place: ConcurrencyPlace | None
    """What it needs of the runs of its key; None where it needs nothing."""


class FlowStarter:
    """Starts flows. It keeps the plans that were started last: they never change."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._depth = QueueDepth(store)
        self._plans: OrderedDict[tuple[PlaybookId, str], tuple[Release, plans_pb2.Plan]] = OrderedDict()

    async def start(self, caller: Caller, asked: Start) -> FlowView:
        """Begins the flow, or returns the one that the key began with the same request.

        Raises FieldInvalid, TooLarge, NotFound, DigestMismatch, PublicationForbids, PolicyForbids, ProviderNotConfigured,
        QueueFull, ConcurrencyLimitReached, AlreadyExists, RequestIdReused.
        """
        checked = await self.check(asked)
        depths = await self._depth.current()

        def body(tx: Transaction) -> FlowView:
            return begin_flow(tx, self._limits, caller, checked, depths)

        return await self._store.write(body, Order.READS_FIRST)

    async def check(self, asked: Start) -> Checked:
        """What can be said of a start before it is made. Raises FieldInvalid, TooLarge, NotFound, DigestMismatch."""
        if RESERVED_METADATA in asked.metadata:
            description = f"the key {RESERVED_METADATA!r} is the server's own; choose another"
            raise field_invalid("request.metadata", description)
        self._check_sizes(asked)
        plan = await self._plan(asked)
        value, place = self._checked_input(plan, asked)
        if asked.provider and list(plan.providers) != [asked.provider]:
            named = ", ".join(plan.providers) or "no provider"
            raise field_invalid("request.provider", f"is {asked.provider!r}; the playbook names {named}")
        return Checked(asked, plan, value, place)

    async def _plan(self, asked: Start) -> plans_pb2.Plan:
        key = (asked.playbook_id, asked.version)
        found = self._plans.pop(key, None)
        if found is None:
            found = await self._store.read(lambda tx: _read_release(tx, *key))
        self._plans[key] = found
        if len(self._plans) > PLANS_KEPT:
            self._plans.popitem(last=False)
        release, plan = found
        if release.digest != asked.digest:
            raise DigestMismatch(release.name, release.digest)
        return plan

    def _check_sizes(self, asked: Start) -> None:
        limit = self._limits.max_payload_bytes
        given = len(asked.input)
        # Input and content are one event, which has to fit into a message.
        sizes = {"input": given, "content": given + len(asked.content.encode()), "metadata": len(asked.metadata_json())}
        for field, size in sizes.items():
            if size > limit:
                raise TooLarge(f"request.{field}", size, limit)

    @staticmethod
    def _checked_input(plan: plans_pb2.Plan, asked: Start) -> tuple[bytes, ConcurrencyPlace | None]:
        value = json_object(asked.input, "request.input")
        check_input(plan, value, "request.input")
        place = place_needed(plan, value)
        return asked.input or b"{}", place


def place_needed(plan: plans_pb2.Plan, value: JsonObject) -> ConcurrencyPlace | None:
    """The place that a run of a plan needs; None where it needs none. Raises FieldInvalid."""
    needed = plan.concurrency
    return place_of(needed.key, needed.limit, value) if plan.HasField("concurrency") else None


def begin_flow(tx: Transaction, limits: Limits, caller: Caller, checked: Checked, depths: Depths) -> FlowView:
    """Begins a flow inside a transaction, or returns the one that the key began.

    Raises PublicationForbids, PolicyForbids, NotFound, ProviderNotConfigured, QueueFull, ConcurrencyLimitReached,
    AlreadyExists, RequestIdReused.
    """
    asked, plan = checked.asked, checked.plan
    digest = asked.digest_of_request()
    wanted = asked.playbook_id, asked.version
    ground = tx.flows.ground(caller.principal, asked.idempotency_key, wanted, asked.session_id)
    if ground.begun is not None:
        if ground.begun.request_digest != digest:
            raise RequestIdReused("idempotency_key", asked.idempotency_key)
        return view(tx, ground.begun)
    release, session = ground.release, ground.session
    if release is None:
        raise NotFound(version_name(*wanted))
    check_startable(release)
    policy = ground.policy
    policy.check(release, acts_unasked=policy.require_approval and acts_unasked(plan))
    if session is None:
        raise NotFound(f"sessions/{asked.session_id}")
    if asked.flow_id is not None and tx.flows.find(asked.flow_id) is not None:
        raise AlreadyExists(f"flows/{asked.flow_id}")
    depths.check(limits, asked.queue)
    _check_providers(tx, plan)
    if plan.concurrency.at_limit == plans_pb2.PlanConcurrency.AT_LIMIT_REFUSE and checked.place is not None:
        _check_room(tx, checked.place)
    flow = _new_flow(tx, caller, asked, digest)
    events = _first_events(flow, session, checked, release, caller)
    act = Act(AuditType.RUN_CREATED, caller, f"runs/{flow.root_run_id}", asked.idempotency_key, _details(flow))
    return view_of_new(flow, tx.log.begin(flow, events, requested_by(caller), act))


def _details(flow: Flow) -> dict[AuditDetail, str]:
    version = version_name(flow.playbook_id, flow.version)
    about = {AuditDetail.FLOW: flow.name, AuditDetail.SESSION: f"sessions/{flow.session_id}"}
    return {**about, AuditDetail.PLAYBOOK_VERSION: version, AuditDetail.DIGEST: flow.digest}


def _read_release(tx: Transaction, playbook_id: PlaybookId, version: str) -> tuple[Release, plans_pb2.Plan]:
    release = tx.playbooks.release(playbook_id, version)
    return release, plans_pb2.Plan.FromString(tx.playbooks.plan(release.plan_digest))


def _check_providers(tx: Transaction, plan: plans_pb2.Plan) -> None:
    wanted = set(plan.providers) - {BUILTIN_PROVIDER}
    if not wanted:
        return
    live = tx.executors.live_providers(tx.now)
    # With no executor connected nobody can tell; the run waits for one that has what it needs.
    if live and not any(wanted <= set(providers) for providers in live):
        missing = min(wanted - set(live[0])) if len(live) == 1 else min(wanted)
        setting = f"start an executor with --provider {missing} and the key that this provider needs"
        raise ProviderNotConfigured(missing, setting)


def _check_room(tx: Transaction, place: ConcurrencyPlace) -> None:
    tx.places.lock()
    there = tx.places.of_key(place.key, place.limit)
    if len(there) >= place.limit:
        raise ConcurrencyLimitReached(place.key, place.limit, [f"runs/{run_id}" for run_id in there])


def _new_flow(tx: Transaction, caller: Caller, asked: Start, digest: bytes) -> Flow:
    flow_id = asked.flow_id or FlowId(new_id())
    correlation = {
        "flow_id": flow_id,
        "playbook_id": asked.playbook_id,
        "version": asked.version,
        "digest": asked.digest,
        "nonce": secrets.token_hex(16),
    }
    return Flow(
        flow_id=flow_id,
        idempotency_key=asked.idempotency_key,
        principal=caller.principal,
        playbook_id=asked.playbook_id,
        version=asked.version,
        digest=asked.digest,
        session_id=asked.session_id,
        root_run_id=RunId(new_id()),
        request_digest=digest,
        metadata={**asked.metadata, RESERVED_METADATA: correlation},
        source=asked.source,
        created_at=tx.now,
    )


def _first_events(flow: Flow, session: Session, checked: Checked, release: Release, caller: Caller) -> list[RunEvent]:
    asked, plan, value = checked.asked, checked.plan, checked.value
    created = run_events_pb2.RunCreated(
        flow_id=flow.flow_id,
        session_id=flow.session_id,
        agent_id=session.root_agent_id,
        lineage=instances_pb2.Lineage(lineage_id=flow.root_run_id),
        plan_digest=release.plan_digest,
        fold_version=FOLD_VERSION,
        term=1,
        queue=asked.queue,
        priority=asked.priority,
        input_digest=hashlib.sha256(value).digest(),
        providers=plan.providers,
        labels=sorted({*plan.labels, *asked.labels}),
        starter=caller.principal,
        playbook_id=flow.playbook_id,
        playbook_version=flow.version,
        concurrency=checked.place,
    )
    if asked.timeout_micros:
        timeout = Duration()
        timeout.FromMicroseconds(asked.timeout_micros)
        created.timeout.CopyFrom(timeout)
    elif plan.HasField("timeout"):
        created.timeout.CopyFrom(plan.timeout)
    given = run_events_pb2.RunInput(json=value, content=asked.content)
    return [RunEvent(run_created=created), RunEvent(run_input=given)]

"""The control plane as a program: settings → store → mount → serve, with the sweep beside it."""

import asyncio
import contextlib
import errno
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from importlib.metadata import version

import grpc.aio
import structlog

from perdure_control_plane.api.doorkeeper import OPEN, Doorkeeper
from perdure_control_plane.api.health import Health
from perdure_control_plane.api.mount import Front, interceptor, mount
from perdure_control_plane.api.rates import Rates
from perdure_control_plane.api.work.desk import Desk
from perdure_control_plane.domain.api_key import KeyTexts
from perdure_control_plane.domain.credential import ServerCredential
from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.identity import ServerIdentity
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.storage.sqlite import SqliteStore
from perdure_control_plane.storage.store_broken import StoreBroken
from perdure_control_plane.usecases.changes import Changes
from perdure_control_plane.usecases.fire_schedules import fire_schedules
from perdure_control_plane.usecases.known_keys import KnownKeys
from perdure_control_plane.usecases.open_store_life import follow_store_life
from perdure_control_plane.usecases.record_denials import Denials
from perdure_control_plane.usecases.sweep import Swept, sweep
from perdure_services.approval_changes import forget_on, place_on
from perdure_services.auditing import begin_auditing
from perdure_services.caller_keys import require_key
from perdure_services.messages import deliver_on
from perdure_services.retention import retain_on
from perdure_services.server_tls import server_certificate
from perdure_services.settings import ControlPlaneSettings
from perdure_services.signing_keys import bearer_tokens
from perdure_services.snapshots import take_snapshots
from perdure_services.stores import agreed_keys, begin_life, database_credential, say_life, store_of
from perdure_services.token_keys import LiveKeys
from perdure_services.webhooks import Sending, begin_webhooks, sendings

log = structlog.get_logger(__name__)

STOP_GRACE_SECONDS = 5.0
SWEEPS_AT_MOST = 20
"""Sweeps in the time of one where waits end by themselves in between."""


class AddressTaken(Exception):
    """The server cannot listen where it should; the message says what to do."""


@contextlib.asynccontextmanager
async def control_plane(settings: ControlPlaneSettings, stop: asyncio.Event, own_key: str = "") -> AsyncIterator[str]:
    """Serves while the context is open; gives the address it listens at. Sets `stop` where it cannot go on.

    `own_key` is what an executor in the same process says; it is given an address without TLS. Raises StoreBroken,
    SchemaUnknown, KeysUnusable, NoKeys, StartsUnusable, CertificateUnusable, SigningKeysUnusable, WebhookUnusable and
    AddressTaken, each with one plain sentence; StoreBroken at the end, too, where the store has failed.
    """
    started = False
    if not settings.data_dir.exists():
        _require_free_address(settings)  # nothing is made of a server that could not serve
    webhooks = sendings(settings)
    store = store_of(settings)
    await store.open()
    try:
        store.on_failure(stop.set)
        desk = await _desk(store, settings)
        health = Health(store, settings.limits)
        denials = Denials(store)
        front = await _front(desk, store, health, settings, own_key)
        front = _with_webhooks(front, webhooks)
        server = _server(front, denials, settings)
        here = _listen(server, settings, own_key)
        await health.look()
        await server.start()
        started = True
        beside = _begin_beside(desk, store, health, settings)
        beside += begin_auditing(store, denials, front.audit_key, settings)
        beside += begin_webhooks(desk, webhooks)
        log.info("server.started", address=here[0], data=str(store), open=front.doorkeeper.is_open)
        try:
            yield here[-1]
        finally:
            await health.drain()
            desk.changes.drain()
            await server.stop(max(STOP_GRACE_SECONDS, settings.drain_notice_seconds + 1))
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
    finally:
        await store.close()
        if started:
            log.info("server.stopped")
    if store.failure:
        raise StoreBroken(f"{store}: {store.failure}")


async def _desk(store: SqliteStore | PostgresStore, settings: ControlPlaneSettings) -> Desk:
    life = await begin_life(store, settings)
    changes = Changes()
    store.on_commit(changes.committed)
    if isinstance(store, PostgresStore):
        store.on_silence(changes.look_again)
    server_id = f"{os.getpid()}-{secrets.token_hex(4)}"
    identity = ServerIdentity(server_id, version("perdure-server"), life.mark.generation, store.kind)
    return Desk(store, changes, settings.timing, settings.limits, identity)


async def _front(
    desk: Desk, store: SqliteStore | PostgresStore, health: Health, settings: ControlPlaneSettings, embedded_key: str
) -> Front:
    own = await agreed_keys(store, settings)
    texts = KeyTexts(own.callers)
    known = KnownKeys(store, texts, time.monotonic)
    doorkeeper = OPEN
    if settings.authentication == "required":
        tokens = bearer_tokens(settings)
        if not settings.tls_client_roles and tokens is None:
            await require_key(store)
        doorkeeper = Doorkeeper(known, settings.certificate_roles, tokens, embedded_key)
    live = LiveKeys(settings.data_dir, own)

    def credentials() -> list[ServerCredential]:
        return [*live.own.credentials(), *database_credential(settings)]

    return Front(desk, live.tokens, texts, known, own.pages, own.audit, credentials, health, doorkeeper)


def _with_webhooks(front: Front, webhooks: Sequence[Sending]) -> Front:
    def credentials() -> list[ServerCredential]:
        return [*front.credentials(), *(one for each in webhooks for one in each.keys.credentials())]

    return replace(front, webhooks=[each.configured for each in webhooks], credentials=credentials)


def _server(front: Front, denials: Denials, settings: ControlPlaneSettings) -> grpc.aio.Server:
    rates = Rates(settings.max_calls_per_second, settings.max_streams, time.monotonic)
    through = interceptor(settings.limits, denials, front.doorkeeper, rates)
    server = grpc.aio.server(interceptors=[through], options=_options(settings))
    mount(server, front, reflect=settings.reflection)
    return server


def _begin_beside(
    desk: Desk, store: SqliteStore | PostgresStore, health: Health, settings: ControlPlaneSettings
) -> list[asyncio.Task[None]]:
    return [
        asyncio.create_task(_sweep_on(desk, settings), name="sweep"),
        asyncio.create_task(deliver_on(desk), name="messages"),
        asyncio.create_task(place_on(desk), name="approval changes"),
        asyncio.create_task(forget_on(desk), name="approval changes forgotten"),
        asyncio.create_task(health.run(), name="health"),
        asyncio.create_task(take_snapshots(store, settings.snapshot_events), name="snapshots"),
        asyncio.create_task(retain_on(desk.store, settings), name="retention"),
    ]


def _listen(server: grpc.aio.Server, settings: ControlPlaneSettings, own_key: str) -> list[str]:
    """The addresses that it listens at, the one for everybody first. Raises CertificateUnusable, AddressTaken."""
    certificate = server_certificate(settings)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    wanted = f"{host}:{settings.port}"
    try:
        if certificate is None:
            return [f"{host}:{server.add_insecure_port(wanted)}"]
        listening = [f"{host}:{server.add_secure_port(wanted, certificate.credentials())}"]
    except RuntimeError as error:
        raise _address_taken(settings) from error
    if own_key:
        listening.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    return listening


def _require_free_address(settings: ControlPlaneSettings) -> None:
    """Raises AddressTaken where it is clear already that the server could not listen."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[
            0
        ]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise _address_taken(settings) from error


def _address_taken(settings: ControlPlaneSettings) -> AddressTaken:
    message = f"port {settings.port} of {settings.host} is taken or not allowed; name another with --port"
    return AddressTaken(message)


def _options(settings: ControlPlaneSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.limits.max_stream_message_bytes),
        ("grpc.max_send_message_length", settings.limits.max_message_bytes),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Two servers on one port would share its callers and not their store.
        ("grpc.so_reuseport", 0),
    ]


async def _sweep_on(desk: Desk, settings: ControlPlaneSettings) -> None:
    interval = settings.timing.sweep_interval / SECOND
    pause, first = interval, True
    while True:
        await asyncio.sleep(pause)
        pause = interval
        try:
            life = await follow_store_life(desk.store)
            say_life(life)
            desk.identity.generation = life.mark.generation
            swept = await sweep(desk.store, settings.timing)
            fired = await fire_schedules(desk.store, settings.limits)
        except StoreUnavailable as error:
            log.warning("sweep.postponed", reason=str(error))
            continue
        except Exception:  # the next sweep finds whatever this one did not
            log.exception("sweep.failed")
            continue
        _say(swept, first=first)
        for schedule, failure in fired.failed.items():
            log.warning("schedule.postponed", schedule=schedule, reason=str(failure))
        first = False
        # What ends by itself sooner than the next sweep is due is not late for as long as that.
        due = [at for at in (swept.next_at, fired.next_at) if at]
        if due:
            soon = (min(due) - max(swept.swept_at, fired.looked_at)) / SECOND
            pause = min(interval, max(soon, interval / SWEEPS_AT_MOST))


def _say(swept: Swept, *, first: bool) -> None:
    """Logs what a sweep did. A gap before the `first` of a server's life is a time in which no server ran."""
    if swept.outage is not None:
        seconds = (swept.outage.ended_at - swept.outage.began_at) / SECOND
        if first:
            log.info("server.was_down", seconds=seconds)
        else:
            log.warning("store.outage", seconds=seconds)
    for run_id, failure in swept.failed.items():
        if isinstance(failure, StoreUnavailable):
            log.warning("sweep.run_postponed", run=run_id, reason=str(failure))
        else:
            log.error("sweep.run_failed", run=run_id, exc_info=failure)
    for held in swept.held:
        log.warning("run.held", run=held.run_id, reason=held.reason, instances=held.instances)
    if swept.requeued or swept.ended or swept.expired:
        log.info("runs.swept", requeued=swept.requeued, ended=swept.ended, expired=swept.expired)
    for approval_id, followed in swept.followed_up.items():
        log.info("approval.followed_up", approval=approval_id, outcome=followed.value)

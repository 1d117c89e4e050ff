"""An executor as a program: settings → supervisor → channel → worker."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version

import structlog

from perdure.encryption.codec import Codec
from perdure.encryption.key_files import read_keys
from perdure.keys import KeyUnusable, Metadata, key_metadata, read_key_file
from perdure_executor.calls import Calls
from perdure_executor.commands import Supervisor
from perdure_executor.equipment import command_environment, load_functions
from perdure_executor.node_context import Equipment, Function
from perdure_executor.providers import Provider, configured_providers
from perdure_executor.redaction import FEWEST_CHARACTERS, Redaction
from perdure_executor.secret_sources import SecretSources, secret_variables
from perdure_executor.watchdog import Watchdog
from perdure_executor.worker import Profile, Worker
from perdure_services.executor_channel import ServerChannel
from perdure_services.settings import ExecutorSettings

log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def executor(
    settings: ExecutorSettings,
    functions: Mapping[str, Function] | None = None,
    redaction: Redaction | None = None,
) -> AsyncIterator[Worker]:
    """An executor that is ready to run; `Worker.run` does the work.

    `functions` are registered beside those of the modules that the settings name; `redaction` is told what is secret.
    Raises FunctionsInvalid, ProviderUnusable, VariableMissing, SecretVariableMissing, KeyFileUnusable, KeyUnusable and
    TlsUnusable, each with one plain sentence.
    """
    redaction = Redaction() if redaction is None else redaction
    saying_who = _saying_who(settings, redaction)
    channel = ServerChannel(settings)
    equipment = _equipment(settings, functions or {}, redaction)
    equipment.supervisor.start()

    def equip(max_payload_bytes: int) -> Equipment:
        return replace(equipment, max_payload_bytes=max_payload_bytes)

    try:
        profile = _profile(settings, tuple(equipment.providers))
        worker = Worker(channel.opened, profile, equip, saying_who=saying_who, renewed=channel.renewed)
        with Watchdog(worker.work_end, equipment.supervisor.show_life):
            yield worker
    finally:
        await channel.close()
        equipment.calls.close()
        await equipment.supervisor.stop()


async def work_until(stop: asyncio.Event, worker: Worker) -> int:
    """Works until asked to stop, and then until what runs has ended or its drain time is over; returns the exit code."""
    working = asyncio.create_task(worker.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        await worker.drain()
    try:
        return await working
    except Exception:
        log.exception("executor.failed")
        raise
    finally:
        worker.work_end.end_if_functions_run_on()  # nobody keeps their lease any more


def _equipment(settings: ExecutorSettings, functions: Mapping[str, Function], redaction: Redaction) -> Equipment:
    """What it has to work with, but for the limit of payloads, which its server says."""
    providers = configured_providers(settings.providers, os.environ)
    return Equipment(
        supervisor=Supervisor(),
        functions={**load_functions(settings.functions), **functions},
        calls=Calls(settings.threads),
        workspace=str(settings.workspace.resolve()),
        environment=command_environment(os.environ, settings.pass_variables),
        max_payload_bytes=0,
        max_task_output_bytes=settings.max_task_output_bytes,
        kill_grace=settings.kill_grace_seconds,
        providers=providers,
        secrets=_sources(settings, providers.values(), redaction),
        codec=_codec(settings),
    )


def _codec(settings: ExecutorSettings) -> Codec:
    where = "the file that its setting encryption_keys names"
    return Codec(where=where) if settings.encryption_keys is None else read_keys(settings.encryption_keys).codec(where)


def _sources(settings: ExecutorSettings, providers: Iterable[Provider], redaction: Redaction) -> SecretSources:
    variables = secret_variables(os.environ, settings.secret_variables)
    for value in (*variables.values(), *(provider.key for provider in providers)):
        _hide(value, redaction)
    return SecretSources(variables, settings.secrets_dir, redaction)


def _hide(value: str, redaction: Redaction) -> None:
    if len(value) >= FEWEST_CHARACTERS:  # what is shorter is not given to anybody
        redaction.add(value)


def _saying_who(settings: ExecutorSettings, redaction: Redaction) -> Callable[[], Metadata]:
    """Gives what the server knows the executor by; a file is read again each time, for its key may be a new one by then."""
    file = settings.key_file
    if file is None:
        _hide(settings.key.get_secret_value(), redaction)
        metadata = key_metadata(settings.key.get_secret_value())
        return lambda: metadata

    def read_anew() -> Metadata:
        key = read_key_file(file)
        _hide(key, redaction)
        return key_metadata(key)

    last = [read_anew()]

    def read() -> Metadata:
        try:
            last[0] = read_anew()
        except KeyUnusable as error:  # the one that was read before may be good yet
            log.warning("key.not_read", reason=str(error))
        return last[0]

    return read


def _profile(settings: ExecutorSettings, providers: tuple[str, ...]) -> Profile:
    return Profile(
        executor_id=settings.name,
        incarnation=secrets.token_hex(16),
        queues=settings.queues,
        providers=providers,
        labels=settings.labels,
        slots=settings.slots,
        version=version("perdure-server"),
        drain_seconds=settings.drain_seconds,
    )

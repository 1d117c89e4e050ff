"""From a program's name and its settings to the coroutine that is the program."""

import pathlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

from perdure.client.tls import TlsUnusable
from perdure.encryption.key_files import KeyFileUnusable
from perdure.keys import KeyUnusable
from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.storage.migrate import SchemaUnknown
from perdure_control_plane.storage.store_broken import StoreAway, StoreBroken
from perdure_executor.equipment import FunctionsInvalid, VariableMissing
from perdure_executor.providers import ProviderUnusable
from perdure_executor.redaction import Redaction
from perdure_executor.secret_sources import SecretVariableMissing
from perdure_services import (
    logs,
    process,  # first: it sets what gRPC reads when it is imported
)
from perdure_services.all_in_one import serve_all
from perdure_services.backup_manifest import BackupUnusable
from perdure_services.caller_keys import NoKeys
from perdure_services.control_plane import AddressTaken, control_plane
from perdure_services.executor import executor, work_until
from perdure_services.keys import KeysUnusable
from perdure_services.server_tls import CertificateUnusable
from perdure_services.settings import (
    ControlPlaneSettings,
    SettingsInvalid,
    load_control_plane,
    load_embedded,
    load_executor,
)
from perdure_services.signing_keys import SigningKeysUnusable
from perdure_services.starts import StartsUnusable
from perdure_services.webhook_settings import WebhookUnusable

UNUSABLE: Final = (
    AddressTaken,
    BackupUnusable,
    CertificateUnusable,
    FunctionsInvalid,
    KeyFileUnusable,
    KeysUnusable,
    KeyUnusable,
    NoKeys,
    ProviderUnusable,
    SchemaUnknown,
    SecretVariableMissing,
    SettingsInvalid,
    SigningKeysUnusable,
    StartsUnusable,
    StoreBroken,
    TlsUnusable,
    VariableMissing,
    WebhookUnusable,
)
"""What keeps a program from starting, or from going on; each has one plain sentence that says what to do."""

AWAY: Final = (StoreAway, StoreUnavailable)
"""What keeps a program from starting now, and may be over when it is started again."""

Program = Callable[[], Coroutine[Any, Any, int]]


def prepare(
    program: str, file: pathlib.Path | None, server_flags: dict[str, Any], work_flags: dict[str, Any]
) -> Program:
    """The program, its settings read and its logs set up. Raises SettingsInvalid."""
    match program:
        case "control_plane":
            server = load_control_plane(file, server_flags)
            logs.set_up(server.log_format, server.log_level)
            return lambda: _serve(server)
        case "executor":
            work = load_executor(file, work_flags)
            redaction = _covering()
            logs.set_up(work.log_format, work.log_level)
            return lambda: _work(work, redaction)
        case _:
            both = load_embedded(file, server_flags), load_executor(file, work_flags)
            redaction = _covering()
            logs.set_up(both[0].log_format, both[0].log_level)
            return lambda: _serve_all(*both, redaction)


def server_settings(file: pathlib.Path | None, flags: dict[str, Any]) -> ControlPlaneSettings:
    """The settings of a control plane that these would start. Raises SettingsInvalid."""
    return load_control_plane(file, flags)


def _covering() -> Redaction:
    redaction = Redaction()
    logs.cover(redaction.text)
    return redaction


async def _serve(settings: Any) -> int:
    stop = process.stop_requested()
    async with control_plane(settings, stop):
        await stop.wait()
    return 0


async def _work(settings: Any, redaction: Redaction) -> int:
    stop = process.stop_requested()
    async with executor(settings, redaction=redaction) as worker:
        return await work_until(stop, worker)


async def _serve_all(server: Any, work: Any, redaction: Redaction) -> int:
    return await serve_all(server, work, process.stop_requested(), redaction)

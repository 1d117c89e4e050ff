"""Settings of the programs: read once, from flags, environment and a file, into frozen values."""

import difflib
import os
import pathlib
import re
import socket
import tomllib
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from perdure.addresses import DEFAULT_PORT, DEFAULT_SERVER, server_address
from perdure.runlog.instances import NAME
from perdure_control_plane.domain.limits import SECOND, Limits, Timing
from perdure_control_plane.storage.postgres_hosts import database_url
from perdure_services.identity_settings import LOOPBACK, IdentitySettings, Words, split
from perdure_services.webhook_settings import WebhooksSettings

TABLES: Final = ("control_plane", "executor")
"""Tables of a settings file."""

Seconds = Annotated[float, Field(gt=0, le=86400)]


class SettingsInvalid(Exception):
    """A setting is not acceptable; the message names it, and what would be."""


def _directory(path: pathlib.Path) -> pathlib.Path:
    if not path.is_dir():
        raise ValueError(f"there is no directory {path}")
    return path


def _postgres(url: SecretStr) -> SecretStr:
    if url.get_secret_value():
        database_url(url.get_secret_value())
    return url


Name = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]


class _Settings(BaseSettings):
    """Built from values that were gathered; it looks nowhere by itself."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given: `_load` has gathered flags, environment and file."""
        return (init_settings,)


class ControlPlaneSettings(_Settings, IdentitySettings, WebhooksSettings):
    """The control plane."""

    model_config = SettingsConfigDict(env_prefix="PERDURE_CONTROL_PLANE_")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = DEFAULT_PORT
    data_dir: pathlib.Path = pathlib.Path(".perdure")
    database: Annotated[SecretStr, AfterValidator(_postgres)] = SecretStr("")
    reflection: bool = True
    lease_seconds: Seconds = 30.0
    heartbeat_seconds: Seconds = 10.0
    stall_allowance_seconds: Seconds = 30.0
    stop_grace_seconds: Seconds = 10.0
    assignment_ack_seconds: Seconds = 5.0
    sweep_seconds: Seconds = 1.0
    stream_age_seconds: Seconds = 2700.0
    drain_notice_seconds: Annotated[float, Field(ge=0, le=3600)] = 1.0
    takeover_limit: Annotated[int, Field(ge=1, le=100)] = 5
    max_queued_runs: Annotated[int, Field(ge=1)] = 100_000
    max_payload_bytes: Annotated[int, Field(ge=1024, le=3 * 1024 * 1024)] = 1024 * 1024
    snapshot_events: Annotated[int, Field(ge=100)] = 500
    retention_days: Annotated[float, Field(ge=0, le=36500)] = 30.0
    audit_retention_days: Annotated[float, Field(ge=0, le=36500)] = 0.0
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def timing(self) -> Timing:
        """Leases and the waits around them."""
        return Timing(
            lease=_micros(self.lease_seconds),
            heartbeat_interval=_micros(self.heartbeat_seconds),
            stall_allowance=_micros(self.stall_allowance_seconds),
            stop_grace=_micros(self.stop_grace_seconds),
            assignment_ack=_micros(self.assignment_ack_seconds),
            sweep_interval=_micros(self.sweep_seconds),
            stream_age=_micros(self.stream_age_seconds),
            drain_notice=_micros(self.drain_notice_seconds),
            takeover_limit=self.takeover_limit,
        )

    @property
    def retention(self) -> int:
        """After so many microseconds flows that have ended are deleted; 0: never."""
        return _micros(self.retention_days * 24 * 3600)

    @property
    def audit_retention(self) -> int:
        """After so many microseconds audit events are deleted; 0: never."""
        return _micros(self.audit_retention_days * 24 * 3600)

    @property
    def limits(self) -> Limits:
        """Bounds on sizes and counts."""
        return Limits(max_queued_runs=self.max_queued_runs, max_payload_bytes=self.max_payload_bytes)


class ExecutorSettings(_Settings):
    """An executor."""

    model_config = SettingsConfigDict(env_prefix="PERDURE_EXECUTOR_")

    server: Annotated[str, AfterValidator(server_address)] = DEFAULT_SERVER
    key: SecretStr = SecretStr("")
    key_file: pathlib.Path | None = None
    tls_ca: str = ""
    tls_certificate: pathlib.Path | None = None
    tls_key: pathlib.Path | None = None
    name: Name = socket.gethostname()
    slots: Annotated[int, Field(ge=1, le=10_000)] = 16
    queues: Annotated[tuple[Name, ...], NoDecode, BeforeValidator(split), Field(max_length=100)] = ("default",)
    labels: Annotated[tuple[Name, ...], NoDecode, BeforeValidator(split), Field(max_length=100)] = ()
    functions: Words = ()
    providers: Words = ()
    pass_variables: Words = ()
    secret_variables: Words = ()
    secrets_dir: Annotated[pathlib.Path, AfterValidator(_directory)] | None = None
    encryption_keys: pathlib.Path | None = None
    workspace: Annotated[pathlib.Path, AfterValidator(_directory)] = pathlib.Path()
    max_task_output_bytes: Annotated[int, Field(ge=1024)] = 64 * 1024 * 1024
    kill_grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 5.0
    drain_seconds: Annotated[float, Field(ge=0, le=86400)] = 30.0
    threads: Annotated[int, Field(ge=1, le=1000)] = 16
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


S = TypeVar("S", bound=_Settings)


def load_control_plane(file: pathlib.Path | None, flags: dict[str, Any]) -> ControlPlaneSettings:
    """The control plane's settings. Raises SettingsInvalid."""
    settings = _load(ControlPlaneSettings, "control_plane", file, flags)
    fault = settings.fault(settings.host if settings.host not in LOOPBACK else "")
    if fault:
        raise SettingsInvalid(fault)
    if settings.heartbeat_seconds * 2 > settings.lease_seconds:
        raise SettingsInvalid(
            "heartbeat_seconds: is more than half of lease_seconds; leases would lapse at the first loss"
        )
    return settings


def load_embedded(file: pathlib.Path | None, flags: dict[str, Any]) -> ControlPlaneSettings:
    """The same of a control plane that is one process with an executor: it deletes nothing unless somebody says so."""
    settings = load_control_plane(file, flags)
    says_so = "retention_days" in settings.model_fields_set
    return settings if says_so else settings.model_copy(update={"retention_days": 0.0})


def load_executor(file: pathlib.Path | None, flags: dict[str, Any]) -> ExecutorSettings:
    """An executor's settings. Raises SettingsInvalid."""
    settings = _load(ExecutorSettings, "executor", file, flags)
    if settings.key.get_secret_value() and settings.key_file is not None:
        raise SettingsInvalid("key: is given, and key_file as well; give one of them")
    return settings


def _load(kind: type[S], table: str, file: pathlib.Path | None, flags: dict[str, Any]) -> S:
    """Flags win over the environment, which wins over the file's table."""
    given = {name: value for name, value in flags.items() if value is not None and value != ()}
    written = _read_table(file, table)
    _refuse_unknown(kind, table, file, written)
    try:
        return kind(**{**written, **EnvSettingsSource(kind)(), **given})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        variable = f"{kind.model_config['env_prefix']}{name.upper()}"
        said = first["msg"].removeprefix("Value error, ")
        if first["type"] == "string_pattern_mismatch":
            said = f"{first['input']!r} is not 1 to 128 of letters, digits, '.', '_' and '-'"
        if first["type"] == "extra_forbidden":
            said = "unknown setting"
        where = ".".join(map(str, first["loc"])) if name == "webhooks" else name
        raise SettingsInvalid(f"{where}: {said} (flag, {variable}, or [{table}] in the file)") from error


def _refuse_unknown(kind: type[_Settings], table: str, file: pathlib.Path | None, written: dict[str, Any]) -> None:
    prefix = str(kind.model_config["env_prefix"])
    for name in written:
        if name not in kind.model_fields:
            raise SettingsInvalid(f"{name}: unknown setting in [{table}] of {file}{_near(name, kind)}")
    for variable in sorted(os.environ):
        name = variable.upper().removeprefix(prefix).lower()
        if variable.upper().startswith(prefix) and name not in kind.model_fields and not _SERVICE_LINK.fullmatch(name):
            near = _near(name, kind, prefix)
            raise SettingsInvalid(f"{variable}: unknown setting in the environment{near}")


_SERVICE_LINK: Final = re.compile(r"service_(host|port(_\w+)?)|port_\d+_(tcp|udp)(_\w+)?")
"""What Kubernetes puts into each container's environment for a service whose name begins as ours do."""


def _near(name: str, kind: type[_Settings], prefix: str = "") -> str:
    near = difflib.get_close_matches(name, kind.model_fields, n=1)
    meant = f"{prefix}{near[0].upper()}" if near and prefix else "".join(near)
    return f"; did you mean {meant}?" if near else ""


def _read_table(file: pathlib.Path | None, table: str) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        content = tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise SettingsInvalid(f"the settings file {file} cannot be read: {error}") from error
    except RecursionError as error:
        raise SettingsInvalid(f"the settings file {file} cannot be read: it is nested too deep") from error
    for name in content:
        if name not in TABLES:
            raise SettingsInvalid(f"{name}: is no table of {file}; settings stand under [control_plane] or [executor]")
    values = content.get(table, {})
    if not isinstance(values, dict):
        raise SettingsInvalid(f"{table} in {file} is not a table")
    return values


def _micros(seconds: float) -> int:
    return round(seconds * SECOND)

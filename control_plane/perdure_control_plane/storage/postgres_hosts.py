"""Where a PostgreSQL database is: its address as people write it, and the one server of several that may be written."""

import re
from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import structlog
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from perdure_control_plane.storage.postgres_errors import NoPrimary

log = structlog.get_logger(__name__)

QUERY: Final = frozenset({"host", "port", "ssl"})
"""Parameters that an address may have; `ssl` as asyncpg takes it, such as `verify-full`."""
CONNECT_SECONDS: Final = 5.0
"""How long one server may take to let us in. A host that is gone without a word must not keep us from the next one."""
ANSWER_SECONDS: Final = 40.0
"""How long an answer may take: longer than the limits that a database which is there keeps, and tells of."""

SETTINGS: Final = {
    "application_name": "perdure",
    "statement_timeout": "30s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    # A plan is made once for a statement, on whatever the tables hold then, and kept while they grow: it is made for large
    # tables from the beginning.
    "enable_seqscan": "off",
    "jit": "off",
}

_SEVERAL: Final = re.compile(
    r"(?P<before>\w[\w+]*://(?:[^@/?#]*@)?)(?P<hosts>[^@/?#]*,[^@/?#]*)(?P<name>/[^?#]*)(?P<query>\?.*)?"
)
_PORT: Final = 5432


class PostgresHosts:
    """The servers that an address names. Which of them is the primary may change at any time."""

    def __init__(self, url: URL) -> None:
        """`url` as `database_url` gives it."""
        self._url = url
        self._arguments = _connect_arguments(url)
        hosts, ports = self._arguments.pop("host", None), self._arguments.pop("port", _PORT)
        several = list(zip(hosts, ports, strict=True)) if isinstance(hosts, list) else [(hosts, ports)]
        self._places: list[tuple[str | None, int]] = several

    def __str__(self) -> str:
        """The address without a password, as people write it."""
        if len(self._places) == 1:
            return self._url.set(drivername="postgresql").render_as_string(hide_password=True)
        user = f"{self._url.username}@" if self._url.username else ""
        return f"postgresql://{user}{','.join(f'{host}:{port}' for host, port in self._places)}/{self._url.database}"

    async def connect(self) -> "asyncpg.Connection[Any]":
        """Connects to the first server that may be written, beginning with the one found last.

        Raises what the last of them said where there is none.
        """
        said: Exception | None = None
        for place in self._places:
            try:
                connection = await self._connect(*place)
            except (OSError, asyncpg.CannotConnectNowError) as error:
                said = error
                continue
            except asyncpg.TargetServerAttributeNotMatched:
                said = NoPrimary()
                continue
            if place != self._places[0]:
                log.info("database.changed", host=place[0], port=place[1])
                self._places = [place, *(other for other in self._places if other != place)]
            return connection
        assert said is not None
        raise said

    async def _connect(self, host: str | None, port: int) -> "asyncpg.Connection[Any]":
        return await asyncpg.connect(
            host=host,
            port=port,
            timeout=CONNECT_SECONDS,
            command_timeout=ANSWER_SECONDS,
            target_session_attrs="read-write",
            server_settings=SETTINGS,
            **self._arguments,
        )


def database_url(text: str | URL) -> URL:
    """The address of a database, as people write it. Raises ValueError, saying what one looks like, without the text.

    Several hosts may stand in it as libpq has them, `HOST:PORT,HOST:PORT`.
    """
    try:
        url = make_url(_hosts_in_the_query(text) if isinstance(text, str) else text)
    except (ArgumentError, ValueError):
        url = None  # what was raised shows the text, which may hold a password
    if url is None or url.drivername.partition("+")[0] not in ("postgresql", "postgres") or not url.database:
        raise ValueError(_NO_ADDRESS)
    unknown = sorted(set(url.query) - QUERY)
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no such parameter; after the ? may stand {', '.join(sorted(QUERY))}")
    url = url.set(drivername="postgresql+asyncpg")
    try:
        PostgresHosts(url)
    except (ArgumentError, ValueError):
        url = None
    if url is None:
        raise ValueError(_NO_ADDRESS)
    return url


_NO_ADDRESS: Final = (
    "it is no address of a database; postgresql://USER:PASSWORD@HOST:PORT/DATABASE is one, and"
    " postgresql://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE one with a standby"
)


def _hosts_in_the_query(text: str) -> str:
    found = _SEVERAL.fullmatch(text)
    if found is None:
        return text
    hosts = [host if ":" in host else f"{host}:{_PORT}" for host in found["hosts"].split(",")]
    query = [found["query"].removeprefix("?")] if found["query"] else []
    return f"{found['before']}{found['name']}?{'&'.join([*(f'host={host}' for host in hosts), *query])}"


def _connect_arguments(url: URL) -> dict[str, Any]:
    arguments: Mapping[str, Any] = url.get_dialect()().create_connect_args(url)[1]
    return dict(arguments)

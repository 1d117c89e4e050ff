"""Keys by which an identity provider's tokens are checked: from a file, or from where the provider publishes them."""

import asyncio
import json
import pathlib
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Final

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from perdure_control_plane.api.bearer_tokens import BearerTokens, SigningKeys, TokenRules
from perdure_services.settings import ControlPlaneSettings

log = structlog.get_logger(__name__)

BELIEVED_SECONDS: Final = 300.0
"""How long keys that were fetched are used before they are fetched again."""

AGAIN_SECONDS: Final = 30.0
"""How long after a look for keys none is made for one that is missing: whoever makes up key ids causes no more."""

FETCH_SECONDS: Final = 5.0
MOST_BYTES: Final = 1024 * 1024


class SigningKeysUnusable(Exception):
    """The keys cannot be had, or are none. The message says what to do."""


class FileKeys:
    """Keys in a file, which is read again when it has changed."""

    def __init__(self, path: pathlib.Path) -> None:
        """Reads it. Raises SigningKeysUnusable."""
        self._path = path
        self._marks = self._look()
        self._keys = self._read()

    async def get(self, *, newer: bool = False) -> KeySet:
        """The keys in the file as it is now, or as it was when it could be used."""
        try:
            marks = self._look()
            if marks != self._marks:
                self._marks = marks
                self._keys = self._read()
        except SigningKeysUnusable as error:
            log.warning("signing_keys.not_read_again", reason=str(error))
        return self._keys

    def _look(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise SigningKeysUnusable(f"{self._path} cannot be read: {error.strerror}") from error
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> KeySet:
        try:
            return key_set(self._path.read_bytes(), str(self._path))
        except OSError as error:
            raise SigningKeysUnusable(f"{self._path} cannot be read: {error.strerror}") from error


class FetchedKeys:
    """Keys that the provider publishes at an address."""

    def __init__(self, url: str) -> None:
        """Fetches them. Raises SigningKeysUnusable."""
        self._url = url
        self._keys = self._fetch()
        self._looked_at = self._fetched_at = time.monotonic()
        self._fetching = asyncio.Lock()

    async def get(self, *, newer: bool = False) -> KeySet:
        """The keys as they were when they could be fetched last."""
        if self._is_due(newer):
            async with self._fetching:
                if self._is_due(newer):
                    await self._fetch_again()
        return self._keys

    def _is_due(self, newer: bool) -> bool:
        now = time.monotonic()
        wanted = newer or now - self._fetched_at >= BELIEVED_SECONDS
        return wanted and now - self._looked_at >= AGAIN_SECONDS

    async def _fetch_again(self) -> None:
        self._looked_at = time.monotonic()
        try:
            self._keys = await asyncio.to_thread(self._fetch)
            self._fetched_at = time.monotonic()
        except SigningKeysUnusable as error:
            log.warning("signing_keys.not_fetched", reason=str(error))

    def _fetch(self) -> KeySet:
        try:
            with _OPENER.open(self._url, timeout=FETCH_SECONDS) as answer:
                content = answer.read(MOST_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise SigningKeysUnusable(f"{self._url} cannot be fetched: {reason}") from error
        if len(content) > MOST_BYTES:
            raise SigningKeysUnusable(f"{self._url} answers with more than {MOST_BYTES} bytes")
        return key_set(content, self._url)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What is named is asked, and nobody whom that one names."""

    def redirect_request(self, *asked: Any, **more: Any) -> None:
        """Follows none."""


_OPENER: Final = urllib.request.build_opener(_NoRedirects)


def key_set(content: bytes, source: str) -> KeySet:
    """The keys in a JSON Web Key Set. Raises SigningKeysUnusable."""
    try:
        keys = KeySet.import_key_set(json.loads(content))
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SigningKeysUnusable(f"{source} holds no JSON Web Key Set") from error
    if any(key.key_type == "oct" for key in keys.keys):
        raise SigningKeysUnusable(f"{source} holds a symmetric key: whoever can check its tokens could make them, too")
    return keys


def bearer_tokens(settings: ControlPlaneSettings) -> BearerTokens | None:
    """Who checks tokens of the provider that the settings name; None where they name none. Raises SigningKeysUnusable."""
    if not settings.jwt_issuer:
        return None
    rules = TokenRules(settings.jwt_issuer, settings.jwt_audience, settings.jwt_role_claim, settings.jwt_role_table)
    source = settings.jwt_keys
    keys: SigningKeys = FetchedKeys(source) if "://" in source else FileKeys(pathlib.Path(source))
    return BearerTokens(rules, keys, lambda: int(time.time()))

"""Profiles: where servers are, and what each knows the caller by, in a file that its owner alone may read."""

import json
import os
import pathlib
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import platformdirs
import typer

from perdure.addresses import DEFAULT_SERVER, server_address
from perdure.keys import KeyUnusable, key_metadata
from perdure.runlog.instances import NAME

FILE: Final = "PERDURE_PROFILES"
"""Variable that names another file than the usual one."""

USUAL_NAME: Final = "default"
"""What a profile is called that nobody has named."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One of them. `key_file` is the path of a file with a key, in place of the key itself."""

    server: str = DEFAULT_SERVER
    key: str = field(default="", repr=False)
    key_file: str = ""
    tls_ca: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    encryption_keys: str = ""

    @property
    def key_words(self) -> str:
        """What it has of a key; never the key."""
        return f"in {self.key_file}" if self.key_file else "kept" if self.key else "none"


@dataclass(frozen=True, slots=True)
class Profiles:
    """All of them, and the name of the one that is used where none is named; empty for none."""

    current: str = ""
    by_name: Mapping[str, Profile] = field(default_factory=dict)

    def having(self, name: str, profile: Profile) -> "Profiles":
        """With a profile made or replaced. The first one is used from then on."""
        return Profiles(self.current or name, {**self.by_name, name: profile})

    def without(self, name: str) -> "Profiles":
        """Without a profile."""
        rest = {other: profile for other, profile in self.by_name.items() if other != name}
        return Profiles("" if self.current == name else self.current, rest)

    def using(self, name: str) -> "Profiles":
        """With another one that is used."""
        return replace(self, current=name)


def profiles_path() -> pathlib.Path:
    """Where they are kept."""
    named = os.environ.get(FILE)
    return pathlib.Path(named) if named else platformdirs.user_config_path("perdure") / "profiles.json"


def read_profiles() -> Profiles:
    """What the file holds; nothing where there is none. Raises BadParameter where it cannot be used."""
    path = profiles_path()
    try:
        if path.stat().st_mode & 0o077:
            raise _fault(f"{path} can be read by others than its owner; run: chmod 600 {path}")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Profiles()
    except OSError as error:
        raise _fault(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _fault(f"{path} is no file of profiles; move it away") from error
    try:
        kept = {name: _profile(**fields) for name, fields in content["profiles"].items()}
        if not all(NAME.fullmatch(name) for name in kept):
            raise ValueError
        return Profiles(content["current"] if content["current"] in kept else "", kept)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise _fault(f"{path} is no file of profiles; move it away") from error


def write_profiles(profiles: Profiles) -> None:
    """Replaces the file, whole or not at all. Raises BadParameter where it cannot be written."""
    path = profiles_path()
    document = {
        "current": profiles.current,
        "profiles": {name: asdict(profile) for name, profile in sorted(profiles.by_name.items())},
    }
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise _fault(f"{path} cannot be written: {error.strerror}") from error


def chosen_profile(named: str | None, *, may_be_new: bool = False) -> tuple[str, Profile | None]:
    """The profile that is named, else the one that is used; nothing where there is none. Raises BadParameter.

    A name of which there is none is refused unless it `may_be_new`.
    """
    kept = read_profiles()
    name = checked_name(named) if named else kept.current
    if named and name not in kept.by_name and not may_be_new:
        raise no_profile(name)
    return name, kept.by_name.get(name)


def checked_name(name: str) -> str:
    """The name of a profile. Raises BadParameter."""
    if not NAME.fullmatch(name):
        message = f"{name!r} is not the name of a profile: 1 to 128 letters, digits, '.', '_' or '-'"
        raise typer.BadParameter(message, param_hint="'--profile'")
    return name


def no_profile(name: str) -> typer.BadParameter:
    """There is none of that name."""
    message = f"there is no profile {name!r}; make it: perdure config profile set {name} --server HOST:PORT"
    return typer.BadParameter(message, param_hint="'--profile'")


def _profile(**kept: Any) -> Profile:
    if not all(isinstance(value, str) for value in kept.values()):
        raise ValueError
    profile = Profile(**kept)
    try:
        key_metadata(profile.key)
    except KeyUnusable as error:
        raise ValueError from error
    return replace(profile, server=server_address(kept["server"]))


def _fault(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint=FILE)

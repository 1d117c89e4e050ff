"""Model providers: which there are, what each needs, and which of them an executor has configured."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

BUILTIN: Final = "builtin"
"""The provider that needs no key and no network."""

OFFLINE: Final = "offline"
"""The built-in provider's one model."""

KEYS: Final = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""The variable that each provider's key is in. Each needs the Python package of its own name."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider that an executor has configured."""

    name: str
    key: str = field(default="", repr=False)


class ProviderUnusable(Exception):
    """A provider was named that is unknown or not configured; the message names the setting."""


def configured_providers(named: tuple[str, ...], environment: Mapping[str, str]) -> Mapping[str, Provider]:
    """The providers this executor offers, by name: the built-in one, and those named.

    Keys come from the environment. Raises ProviderUnusable for one that has no key, or whose package is missing.
    """
    configured = {BUILTIN: Provider(BUILTIN)}
    for name in named:
        if name == BUILTIN:
            continue
        if name not in KEYS:
            raise ProviderUnusable(_unknown(name))
        key = environment.get(KEYS[name])
        if not key:
            raise ProviderUnusable(f"the provider {name!r} is named and not configured: set {KEYS[name]}")
        if not _has_package(name):
            raise ProviderUnusable(_package_missing(name))
        configured[name] = Provider(name, key)
    return configured


def provider_for(name: str, model: str, configured: Mapping[str, Provider]) -> Provider:
    """The configured provider of a model. No other ever stands in for it. Raises ProviderUnusable."""
    if name == BUILTIN and model != OFFLINE:
        raise ProviderUnusable(f"the provider {BUILTIN!r} has no model {model!r}; it has {OFFLINE!r}")
    if name not in configured:
        raise ProviderUnusable(_not_configured(name) if name in KEYS else _unknown(name))
    return configured[name]


def _unknown(name: str) -> str:
    return f"there is no provider {name!r}; there are {', '.join([BUILTIN, *KEYS])}"


def _not_configured(name: str) -> str:
    return (
        f"the provider {name!r} is not configured here: set {KEYS[name]} and start the executor with --provider {name}"
    )


def _has_package(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _package_missing(name: str) -> str:
    return f"the provider {name!r} needs a package that is not installed: pip install 'perdure-server[{name}]'"

"""How an agentic node is made ready, and what refuses it."""

import pathlib
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from perdure.v1 import instances_pb2
from perdure_executor.node_context import Work
from perdure_executor.nodes import prepare
from perdure_executor.providers import ProviderUnusable, configured_providers
from perdure_executor.results import Failed

Tree = Callable[..., pathlib.Path]
NOT_CONFIGURED = instances_pb2.FAILURE_CAUSE_PROVIDER_NOT_CONFIGURED


def test_the_log_gets_what_the_agent_is_called_with(tree: Tree, agents_in: Any) -> None:
    root = tree({"sub/a.txt": ""})
    context = agents_in(root).context(
        prompt="Look at {{ what }}.", workspace="{{ where }}", sees={"what": "it", "where": "sub"}, tools=["read_file"]
    )

    prepared = prepare(context)

    assert isinstance(prepared, Work)
    assert prepared.arguments == {
        "prompt": "Look at it.",
        "provider": "builtin",
        "model": "offline",
        "tools": ["read_file"],
        "workspace": str(root / "sub"),
    }


@pytest.mark.parametrize(
    ("fields", "cause", "told"),
    [
        ({"provider": "openai", "model": "m"}, NOT_CONFIGURED, "set OPENAI_API_KEY"),
        ({"provider": "anthropic", "model": "m"}, NOT_CONFIGURED, "set ANTHROPIC_API_KEY"),
        ({"provider": "other", "model": "m"}, NOT_CONFIGURED, "there are builtin, openai, anthropic"),
        ({"model": "gpt"}, NOT_CONFIGURED, "'builtin' has no model 'gpt'; it has 'offline'"),
        ({"prompt": "{{ nothing }}"}, instances_pb2.FAILURE_CAUSE_EXPRESSION, "nothing"),
        ({"tools": ["delete_file"]}, instances_pb2.FAILURE_CAUSE_AGENT, "no tool 'delete_file'"),
        ({"workspace": "../out"}, instances_pb2.FAILURE_CAUSE_NOT_STARTED, "holds '..'"),
        ({"workspace": "missing"}, instances_pb2.FAILURE_CAUSE_NOT_STARTED, "does not exist"),
        ({"output_schema": {"type": "array"}}, instances_pb2.FAILURE_CAUSE_OUTPUT_INVALID, "an object"),
        ({"prompt": "x" * (1 << 20)}, instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, "the limit is 1048576"),
    ],
)
def test_a_node_that_cannot_be_done_is_refused_with_its_cause(
    tree: Tree, agents_in: Any, fields: dict[str, Any], cause: int, told: str
) -> None:
    failed = prepare(agents_in(tree({})).context(**fields))

    assert isinstance(failed, Failed)
    assert failed.cause == cause
    assert told in failed.message


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_provider_whose_package_is_missing_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ProviderUnusable, match=re.escape(f"pip install 'perdure-server[{provider}]'")):
        configured_providers((provider,), {f"{provider.upper()}_API_KEY": "key"})


@pytest.mark.parametrize("environment", [{}, {"OPENAI_API_KEY": ""}])
def test_a_provider_that_is_named_without_its_key_is_refused_at_the_start(environment: dict[str, str]) -> None:
    with pytest.raises(ProviderUnusable, match="set OPENAI_API_KEY"):
        configured_providers(("openai",), environment)


def test_a_configured_provider_has_its_key_and_does_not_show_it() -> None:
    configured = configured_providers(("builtin", "openai"), {"OPENAI_API_KEY": "sk-secret"})

    assert list(configured) == ["builtin", "openai"]
    assert configured["openai"].key == "sk-secret"
    assert "sk-secret" not in repr(configured)


def test_the_agent_library_is_not_loaded_by_an_executor_that_has_no_agent_to_run() -> None:
    program = "import sys, perdure_executor.worker; sys.exit('pydantic_ai' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

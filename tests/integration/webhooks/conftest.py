"""What tests of webhooks are given: receivers, settings that name them, and a client."""

import pathlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from perdure.client import Client
from tests.receivers import SECRET, Receiver, receiver, text_of


@pytest.fixture
async def listen(stack: AsyncExitStack) -> Callable[..., Any]:
    """Begins to listen as a receiver, until the test ends or a stack that is given is closed."""

    async def begin(*answers: int | str, on: AsyncExitStack = stack, **options: Any) -> Receiver:
        return await on.enter_async_context(receiver(answers or (204,), **options))

    return begin


@pytest.fixture
def told(tmp_path: pathlib.Path) -> Callable[..., dict[str, Any]]:
    """The settings by which a receiver is told."""
    (tmp_path / "secret").write_text(text_of(SECRET))

    def settings(hook: Receiver, name: str = "pager", **more: Any) -> dict[str, Any]:
        return {"name": name, "url": hook.url, "secret_file": str(tmp_path / "secret"), **more}

    return settings


@pytest.fixture
async def admin(stack: AsyncExitStack) -> Callable[..., Any]:
    async def connect(service: Any) -> Client:
        return await stack.enter_async_context(Client(service.address))

    return connect

"""Walks through lists, page by page."""

import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar


class PageRequest(Protocol):
    """A request for one page of a list."""

    page_token: str


class Page(Protocol):
    """One page of a list."""

    next_page_token: str


AnyRequest = TypeVar("AnyRequest", bound=PageRequest)
AnyPage = TypeVar("AnyPage", bound=Page)


async def pages(method: Callable[[AnyRequest], Awaitable[AnyPage]], request: AnyRequest) -> AsyncIterator[AnyPage]:
    """Every page that a List method gives, from the one the request names to the last. Raises CallFailed."""
    asked = copy.deepcopy(request)
    while True:
        page = await method(asked)
        yield page
        if not page.next_page_token:
            return
        asked.page_token = page.next_page_token

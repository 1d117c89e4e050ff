"""Lists: as many items as were asked for, from as many pages as that takes."""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, TypeVar

import typer
from google.protobuf.message import Message

from perdure.cli.printing.formats import Format, print_list
from perdure.client.pages import Page

DEFAULT_LIMIT: Final = 100
LARGEST_PAGE: Final = 500

AnyPage = TypeVar("AnyPage", bound=Page)


async def list_items(
    pages: AsyncIterator[AnyPage], items: Callable[[AnyPage], Iterable[Message]], limit: int, format: Format
) -> None:
    """Prints the first items of a list, and says where there are more."""
    found: list[Message] = []
    async for page in pages:
        found += items(page)
        if len(found) >= limit and (page.next_page_token or len(found) > limit):
            print_list(found[:limit], format)
            typer.echo(f"there are more than these {limit}; raise --limit to see them", err=True)
            return
    print_list(found, format)


def page_size(limit: int) -> int:
    """The size of page to ask for when a number of items is wanted."""
    return min(limit, LARGEST_PAGE)

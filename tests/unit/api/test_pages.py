"""Sizes of pages, and tokens that are good for the list that they were made for."""

import base64
from typing import Any

import pytest

from perdure.v1 import flows_pb2, runs_pb2, tasks_pb2
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.domain.errors import FieldInvalid, PageTokenInvalid
from perdure_control_plane.domain.limits import Limits

LIMITS = Limits(default_page_size=10, max_page_size=50, max_page_bytes=1000)
PAGES = Pages(b"secret", LIMITS)


def request(**fields: Any) -> runs_pb2.ListRunsRequest:
    return runs_pb2.ListRunsRequest(**fields)


def run(size: int) -> runs_pb2.Run:
    """A message of so many bytes, or a little more."""
    return runs_pb2.Run(name="x" * size)


@pytest.mark.parametrize(("asked", "given"), [(0, 10), (1, 1), (50, 50), (51, 50), (2**31 - 1, 50)])
def test_a_size_is_the_default_or_what_was_asked_up_to_the_ceiling(asked: int, given: int) -> None:
    assert PAGES.size(asked) == given


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(FieldInvalid):
        PAGES.size(-1)


def test_a_request_without_a_token_begins() -> None:
    assert PAGES.position(request()) is None


def test_a_token_goes_on_where_it_was_made_for_with_any_size() -> None:
    token = PAGES.token(request(flow="flows/f", page_size=3), [7, "r"])

    assert PAGES.position(request(flow="flows/f", page_size=9, page_token=token)) == [7, "r"]


def test_a_token_is_good_at_another_server_with_the_same_secret_and_at_no_other() -> None:
    token = PAGES.token(request(), 7)

    assert Pages(b"secret", LIMITS).position(request(page_token=token)) == 7
    with pytest.raises(PageTokenInvalid):
        Pages(b"another", LIMITS).position(request(page_token=token))


@pytest.mark.parametrize(
    "other",
    [
        runs_pb2.ListRunsRequest(flow="flows/other"),
        runs_pb2.ListRunsRequest(session="flows/f"),
        flows_pb2.ListFlowsRequest(session="flows/f"),
        tasks_pb2.ListTasksRequest(parent="flows/f"),
    ],
)
def test_a_token_of_another_list_is_refused(other: Any) -> None:
    other.page_token = PAGES.token(request(flow="flows/f"), 7)

    with pytest.raises(PageTokenInvalid):
        PAGES.position(other)


def test_a_token_that_was_changed_is_refused() -> None:
    raw = base64.urlsafe_b64decode(PAGES.token(request(), 7))
    changed = base64.urlsafe_b64encode(raw[:-1] + b"8").decode()

    with pytest.raises(PageTokenInvalid):
        PAGES.position(request(page_token=changed))


def page(sizes: list[int], asked: int) -> tuple[list[int], Any]:
    """Sizes of the messages of a page, and where the next one goes on."""
    listed, token = PAGES.page(request(), sizes, asked, lambda size: size, run)
    return [len(message.name) for message in listed], PAGES.position(request(page_token=token)) if token else None


def test_a_page_that_is_not_full_is_the_last() -> None:
    assert page([1, 2], 3) == ([1, 2], None)
    assert page([], 3) == ([], None)


def test_a_full_page_says_where_the_next_goes_on() -> None:
    assert page([1, 2, 3], 3) == ([1, 2, 3], 3)


def test_a_page_ends_before_it_is_too_large_and_goes_on_with_what_did_not_fit() -> None:
    assert page([400, 500, 300, 2], 50) == ([400, 500], 500)


def test_what_is_larger_than_a_page_has_one_of_its_own() -> None:
    assert page([5000, 1], 50) == ([5000], 5000)
    assert page([1, 5000], 50) == ([1], 1)

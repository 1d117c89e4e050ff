"""The request file: taken as it is, and nothing that it asks for is dropped without a word."""

from typing import Any

import pytest
import typer

from perdure.cli.request_file import UNSUPPORTED, request_from

FULL: dict[str, Any] = {
    "provider": "builtin", "source_plugin": "chat", "source_kind": "message", "actor_id": "u-7", "content": "be nice",
    "input_items": [], "attachments": [], "generation": {}, "metadata": {"ticket": "T-1"}, "binding_keys": [],
    "reply_targets": [], "reply_plugin": "", "reply_address": None,
}  # fmt: skip


def test_what_is_acted_on_arrives_and_what_is_empty_is_passed_over() -> None:
    request = request_from(FULL)

    assert (request.provider, request.content) == ("builtin", "be nice")
    source = request.source
    assert (source.source_plugin, source.source_kind, source.actor_id) == ("chat", "message", "u-7")
    assert dict(request.metadata) == {"ticket": "T-1"}


def test_a_request_of_nothing_but_nulls_is_empty() -> None:
    assert request_from(dict.fromkeys(FULL)).ByteSize() == request_from({}).ByteSize()


@pytest.mark.parametrize("key", UNSUPPORTED)
@pytest.mark.parametrize("value", ["text", ["item"], {"key": 1}, 0, False])
def test_what_nobody_acts_on_is_refused_by_its_key(key: str, value: Any) -> None:
    with pytest.raises(typer.BadParameter, match=f"'{key}' is not supported"):
        request_from(FULL | {key: value})


@pytest.mark.parametrize(
    ("key", "value"), [("content", 3), ("provider", ["a"]), ("metadata", "a"), ("input", []), ("actor_id", {})]
)
def test_a_key_of_the_wrong_kind_is_named(key: str, value: Any) -> None:
    with pytest.raises(typer.BadParameter, match=f"'{key}' is not"):
        request_from(FULL | {key: value})


def test_an_unknown_key_is_named_with_those_that_are_known() -> None:
    with pytest.raises(typer.BadParameter, match="'reply' is not known; the keys are provider, content"):
        request_from({"reply": "x"})

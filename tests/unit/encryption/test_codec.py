"""Values are encrypted and opened again, by whoever has the key and by nobody else."""

import json
import pathlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.encryption.codec import CannotDecrypt, Codec, new_key_id
from perdure.encryption.key_files import KeyFileUnusable, new_keys, read_keys, write_keys
from perdure.encryption.messages import opened_message, sealed_request
from perdure.secrets.encrypted import MARK, holds_encrypted, is_encrypted
from perdure.v1 import approvals_pb2, flows_pb2, node_events_pb2, run_events_pb2

NOW = datetime(2026, 11, 22, tzinfo=UTC)
FIRST, SECOND = bytes(range(32)), bytes(range(32, 64))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def codec(*keys: bytes) -> Codec:
    found = {new_key_id(key): key for key in keys}
    return Codec(found, new_key_id(keys[-1]), "FILE")


@given(JSON)
def test_whatever_was_encrypted_is_what_is_opened(value: Any) -> None:
    sealed = codec(FIRST).sealed_fields({"a": value})

    assert sealed["a"] is None or is_encrypted(sealed["a"])
    assert codec(FIRST).opened(sealed) == {"a": value}


def test_equal_values_are_equal_texts_and_others_are_not() -> None:
    assert codec(FIRST).sealed("a") == codec(FIRST).sealed("a")
    assert codec(FIRST).sealed("a") != codec(FIRST).sealed("b")
    assert codec(FIRST).sealed("a") != codec(SECOND).sealed("a")


def test_references_what_is_encrypted_and_null_stay_as_they_are() -> None:
    once = codec(FIRST).sealed("a")

    assert codec(FIRST).sealed("secret://env/TOKEN") == "secret://env/TOKEN"
    assert codec(FIRST).sealed(once) == once
    assert codec(FIRST).sealed(None) is None
    assert Codec().sealed("a") == "a"


def test_what_is_opened_is_not_opened_again() -> None:
    inner = codec(FIRST).sealed("a")
    outer = codec(FIRST).sealed({"inner": inner})

    assert codec(FIRST).opened({"x": outer}) == {"x": {"inner": inner}}


def test_fields_that_are_to_stay_closed_do() -> None:
    sealed = codec(FIRST).sealed("a")
    value = {"token": sealed, "rows": [{"pin": sealed, "name": sealed}]}

    assert codec(FIRST).opened(value, [("token",), ("rows", "*", "pin")]) == {
        "token": sealed,
        "rows": [{"pin": sealed, "name": "a"}],
    }


def test_a_key_that_is_not_there_is_named_and_what_to_do() -> None:
    with pytest.raises(CannotDecrypt, match=rf"the key {new_key_id(FIRST)}, which is not there: add it to FILE"):
        codec(SECOND).opened({"a": codec(FIRST).sealed("a")})


def test_after_a_rotation_both_keys_open_and_the_new_one_encrypts() -> None:
    before = codec(FIRST).sealed("a")

    rotated = codec(FIRST, SECOND)

    assert rotated.open(before) == "a"
    assert rotated.sealed("a").startswith(f"encrypted://{new_key_id(SECOND)}/")


@given(st.integers(0, 1000), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
def test_what_was_changed_is_not_opened(place: int, letter: str) -> None:
    sealed = str(codec(FIRST).sealed("a value of some length"))
    head, _, content = sealed.rpartition("/")
    at = place % len(content)
    changed = f"{head}/{content[:at]}{letter}{content[at + 1 :]}"

    if changed == sealed or at == len(content) - 1:  # spare bits at the end of base64 say nothing
        return
    with pytest.raises(CannotDecrypt, match=new_key_id(FIRST)):
        codec(FIRST).open(changed)


def test_a_key_under_the_id_of_another_opens_nothing() -> None:
    forged = Codec({new_key_id(FIRST): SECOND}, "", "FILE")

    with pytest.raises(CannotDecrypt, match="another key has that id"):
        forged.open(str(codec(FIRST).sealed("a")))


def test_text_around_what_is_encrypted_is_kept() -> None:
    assert codec(FIRST).open_text(f"before {codec(FIRST).sealed([1])} after") == "before [1] after"


def test_what_is_encrypted_is_found_wherever_it_is() -> None:
    assert holds_encrypted({"a": [1, {"b": codec(FIRST).sealed("a")}]})
    assert not holds_encrypted({"a": "encrypted://k/too-short"})


def test_a_codec_does_not_show_its_keys() -> None:
    assert repr(FIRST)[2:-1] not in repr(codec(FIRST))


def test_a_file_of_keys_is_its_owners_and_is_read_as_it_was_written(tmp_path: pathlib.Path) -> None:
    path, keys = tmp_path / "keys.json", new_keys(NOW).rotated(NOW)
    write_keys(path, keys, new=True)

    assert path.stat().st_mode & 0o777 == 0o600
    assert read_keys(path) == keys
    assert read_keys(path).codec("x").current == keys.keys[-1].key_id
    assert str(keys.keys[0].key) not in repr(keys)
    with pytest.raises(FileExistsError):
        write_keys(path, keys, new=True)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        '{"form": 2, "keys": []}',
        '{"form": 1, "keys": []}',
        '{"form": 1, "keys": [{"id": "k", "key": "AAAA", "made": ""}]}',
    ],
)  # fmt: skip
def test_what_is_no_file_of_keys_is_refused(tmp_path: pathlib.Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    path.chmod(0o600)

    with pytest.raises(KeyFileUnusable, match="is no file of payload keys"):
        read_keys(path)


def test_a_file_that_others_can_read_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "keys.json"
    write_keys(path, new_keys(NOW), new=True)
    path.chmod(0o640)

    with pytest.raises(KeyFileUnusable, match="chmod 600"):
        read_keys(path)


def test_of_a_request_what_it_gives_to_work_is_encrypted_and_the_request_itself_stays() -> None:
    request = flows_pb2.StartFlowRequest(session="s")
    request.request.input, request.request.content = b'{"a": 1, "t": "secret://env/T"}', "text"

    sealed = sealed_request(request, codec(FIRST))

    given = json.loads(sealed.request.input)
    assert is_encrypted(given["a"])
    assert given["t"] == "secret://env/T"
    assert is_encrypted(sealed.request.content)
    assert request.request.content == "text"
    assert sealed_request(request, Codec()) is request
    decision = approvals_pb2.DecideApprovalRequest(content=b"[1]", reason="so")
    assert is_encrypted(json.loads(sealed_request(decision, codec(FIRST)).content))


def test_what_is_shown_is_opened_and_what_cannot_be_is_told_of() -> None:
    keys, closed = codec(FIRST), []
    event = run_events_pb2.RecordedEvent()
    event.event.node_output.json = json.dumps(keys.sealed_fields({"a": [1]})).encode()
    printed = run_events_pb2.RecordedEvent()
    lines = "".join(f"{keys.sealed(piece)}\n" for piece in ("x\n", "\xff"))
    printed.event.task_output.CopyFrom(node_events_pb2.TaskOutput(content=lines.encode()))

    assert json.loads(opened_message(event, keys, closed.append).event.node_output.json) == {"a": [1]}
    assert opened_message(printed, keys, closed.append).event.task_output.content == b"x\n\xff"
    assert closed == []
    assert opened_message(event, codec(SECOND), closed.append) == event
    assert [error.key_id for error in closed] == [new_key_id(FIRST)]
    assert MARK in event.SerializeToString()

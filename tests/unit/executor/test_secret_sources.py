"""Where secrets come from: only what the executor's settings allow, and never a word of a value in a refusal."""

import os
import pathlib

import pytest

from perdure.encryption.codec import Codec
from perdure.secrets.references import reference
from perdure_executor.secret_sources import (
    FEWEST_CHARACTERS,
    MOST_BYTES,
    SecretSources,
    SecretUnavailable,
    SecretVariableMissing,
    secret_variables,
)

VALUE = "open-sesame"


def value(sources: SecretSources, text: str) -> str:
    return sources.value(reference(text))


def refusal(sources: SecretSources, text: str) -> str:
    with pytest.raises(SecretUnavailable) as refused:
        value(sources, text)
    said = str(refused.value)
    assert said.startswith(f"{text}: ")
    assert VALUE not in said
    return said


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "token").write_text(f"{VALUE}\n")
    return secrets


def test_a_variable_that_is_allowed_is_read() -> None:
    assert value(SecretSources({"TOKEN": VALUE}), "secret://env/TOKEN") == VALUE


def test_no_other_variable_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", VALUE)

    assert "name OTHER in its setting secret_variables" in refusal(SecretSources({"TOKEN": "x"}), "secret://env/OTHER")


def test_a_file_is_read_without_the_line_feed_at_its_end_and_anew_each_time(folder: pathlib.Path) -> None:
    sources = SecretSources(folder=folder)

    assert value(sources, "secret://file/token") == VALUE

    (folder / "token").write_text("another one\n\n")
    assert value(sources, "secret://file/token") == "another one\n"


def test_no_file_is_read_where_no_directory_is_named() -> None:
    assert "give it the setting secrets_dir" in refusal(SecretSources(), "secret://file/token")


def test_a_secret_that_kubernetes_mounts_is_read_through_its_links(folder: pathlib.Path) -> None:
    mounted = folder / "database" / "..2026_11_22"
    mounted.mkdir(parents=True)
    (mounted / "password").write_text(VALUE)
    (folder / "database" / "..data").symlink_to("..2026_11_22")
    (folder / "database" / "password").symlink_to("..data/password")

    assert value(SecretSources(folder=folder), "secret://file/database/password") == VALUE


def test_a_link_that_leads_out_is_not_followed(folder: pathlib.Path) -> None:
    (folder.parent / "outside").write_text(VALUE)
    (folder / "link").symlink_to("../outside")
    (folder / "up").symlink_to("..")
    sources = SecretSources(folder=folder)

    assert "leads out" in refusal(sources, "secret://file/link")
    assert "leads out" in refusal(sources, "secret://file/up/outside")


def test_a_directory_of_secrets_that_is_itself_a_link_is_one(folder: pathlib.Path) -> None:
    (folder.parent / "link").symlink_to(folder)

    assert value(SecretSources(folder=folder.parent / "link"), "secret://file/token") == VALUE


def test_what_is_no_readable_file_of_text_is_refused_and_not_waited_for(folder: pathlib.Path) -> None:
    (folder / "bytes").write_bytes(b"\xff\xfe" + VALUE.encode())
    (folder / "large").write_text(VALUE * MOST_BYTES)
    (folder / "nul").write_text(f"{VALUE}\0")
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    sources = SecretSources(folder=folder)

    assert "UTF-8" in refusal(sources, "secret://file/bytes")
    assert "more than" in refusal(sources, "secret://file/large")
    assert "NUL" in refusal(sources, "secret://file/nul")
    assert "no file" in refusal(sources, "secret://file/pipe")
    refusal(sources, "secret://file/folder")
    assert "No such file" in refusal(sources, "secret://file/missing")


def test_a_value_that_is_too_short_to_be_kept_out_of_a_log_is_no_secret() -> None:
    sources = SecretSources({"PIN": "x" * (FEWEST_CHARACTERS - 1), "KEY": "x" * FEWEST_CHARACTERS})

    assert "fewer than" in refusal(sources, "secret://env/PIN")
    assert value(sources, "secret://env/KEY")


def test_a_variable_that_is_named_and_not_set_keeps_the_executor_from_starting() -> None:
    assert secret_variables({"A": "1", "B": "2"}, ["A"]) == {"A": "1"}
    with pytest.raises(SecretVariableMissing, match=r"^C is named in secret_variables, and is not set$"):
        secret_variables({"A": "1"}, ["A", "C"])


def test_only_the_places_that_are_named_are_opened() -> None:
    sources = SecretSources({"TOKEN": VALUE})
    given = {"env": {"A": "secret://env/TOKEN", "B": "secret://env/TOKEN"}, "stdin": ""}

    assert sources.opened(given, [("env", "A")], Codec()) == {
        "env": {"A": VALUE, "B": "secret://env/TOKEN"},
        "stdin": "",
    }


@pytest.mark.parametrize("found", [VALUE, 5, [], "secret://nonsense"])
def test_what_is_no_reference_in_a_place_for_one_is_refused_by_its_place(found: object) -> None:
    with pytest.raises(SecretUnavailable, match=r"^env\.A: it is no reference") as refused:
        SecretSources().opened({"env": {"A": found}}, [("env", "A")], Codec())

    assert VALUE not in str(refused.value)


def test_the_sources_do_not_show_what_they_hold() -> None:
    assert VALUE not in repr(SecretSources({"TOKEN": VALUE}))

"""References to secrets: which texts are some, and that a refusal never repeats what may be a secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.secrets.references import MAX_BYTES, Reference, ReferenceInvalid, is_reference, reference


@pytest.mark.parametrize(
    ("text", "source", "name"),
    [
        ("secret://env/API_TOKEN", "env", "API_TOKEN"),
        ("secret://file/token", "file", "token"),
        ("secret://file/database/password", "file", "database/password"),
        ("secret://file/registry/.dockerconfigjson", "file", "registry/.dockerconfigjson"),
        ("secret://file/a..b", "file", "a..b"),
    ],
)
def test_a_reference_says_where_a_secret_is_and_is_written_as_it_was(text: str, source: str, name: str) -> None:
    assert reference(text) == Reference(source, name)
    assert str(reference(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter22",
        "SECRET://env/A",
        " secret://env/A",
        "secret://env/A ",
        "secret://env/A\n",
        "secret://",
        "secret://env",
        "secret://env/",
        "secret://env/A-B",
        "secret://env/1A",
        "secret://env/{{ inputs.name }}",
        "secret://vault/token",
        "secret://file/",
        "secret://file//token",
        "secret://file/token/",
        "secret://file/.",
        "secret://file/..",
        "secret://file/../token",
        "secret://file/a/../../token",
        "secret://file/..data/token",
        "secret://file/a b",
        "secret://file/a%2e%2e/b",
        "secret://file/a\0b",
        "secret://file/" + "a" * MAX_BYTES,
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ReferenceInvalid):
        reference(text)


@given(st.text(min_size=1).map(lambda text: f"secret://file/{text}"))
def test_no_path_of_a_reference_leads_up(text: str) -> None:
    try:
        found = reference(text)
    except ReferenceInvalid:
        return
    assert not {"", ".", ".."} & set(found.name.split("/"))


def test_a_refusal_does_not_repeat_what_was_given() -> None:
    with pytest.raises(ReferenceInvalid) as refused:
        reference("secret://hunter22-was-written-here")

    assert "hunter22" not in str(refused.value)


def test_what_begins_as_one_is_meant_as_one() -> None:
    assert is_reference("secret://nonsense")
    assert not is_reference("a secret://env/A")
    assert not is_reference(5)

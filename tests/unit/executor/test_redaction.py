"""What is known to be secret is found in whatever form, and whatever pieces, it comes in."""

import base64
import html
import json
import re
import textwrap
import urllib.parse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure_executor.redaction import FEWEST_CHARACTERS, MARK, RedactedStream, Redaction

VALUE = 'p\u00e4ss "w\\rd"/+?&=<1>'
KEY = (
    "-----BEGIN PRIVATE KEY-----\n"
    + "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"])
    + "\n"
)

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON": lambda value: json.dumps(value)[1:-1],
    "JSON in UTF-8": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "a traceback": lambda value: repr(value)[1:-1],
    "HTML": html.escape,
    "an address": lambda value: urllib.parse.quote(value, safe=""),
    "a path of an address": urllib.parse.quote,
    "a form": urllib.parse.quote_plus,
    "an address in lower case": lambda value: re.sub("%..", lambda found: found[0].lower(), urllib.parse.quote(value)),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 of a longer text": lambda value: base64.b64encode(f"user:{value}".encode()).decode(),
    "base64 of a still longer text": lambda value: base64.b64encode(f"users:{value} and more".encode()).decode(),
    "base64 for addresses": lambda value: base64.urlsafe_b64encode(f"?{value}".encode()).decode(),
    "base64 in lines": lambda value: base64.encodebytes(value.encode()).decode(),
    "hexadecimal": lambda value: value.encode().hex(),
}


def knowing(*values: str) -> Redaction:
    redaction = Redaction()
    for value in values:
        redaction.add(value)
    return redaction


@pytest.mark.parametrize("value", [VALUE, KEY, "aaaaaa", "x" * 5000], ids=["odd", "key", "short", "long"])
@pytest.mark.parametrize("form", FORMS)
def test_a_value_is_found_in_every_form(form: str, value: str) -> None:
    encoded = FORMS[form](value)

    redacted = knowing(value).text(f"before {encoded} after")

    assert MARK in redacted
    assert encoded not in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    # Of base64 a few characters that others have a part in may be left; a half of it never is.
    left = "".join(redacted.replace(MARK, "").removeprefix("before ").removesuffix(" after").split())
    assert len(left) <= 24


def test_other_text_stays_as_it_is() -> None:
    text = "nothing of it: open sesame, OPEN-SESAME, opensesame"

    assert knowing("open-sesame").text(text) == text
    assert Redaction().text(text) == text


def test_the_lines_of_a_key_are_secret_one_by_one() -> None:
    assert knowing(KEY).text("  MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n") == f"  {MARK}\n"


def test_values_that_overlap_leave_nothing_of_either() -> None:
    assert knowing("abcdefgh", "efghijkl").text("<abcdefghijkl>") == f"<{MARK}>"
    assert knowing("abcabcab").text("<abcabcabcab>") == f"<{MARK}>"


def test_keys_numbers_and_what_is_nested_are_looked_at_too() -> None:
    given = {"hunter22": [{"a": ("x hunter22", 4711471147, 1.5, True, None)}], "n": 4711471147.0}

    assert knowing("hunter22", "4711471147").value(given) == {
        MARK: [{"a": [f"x {MARK}", MARK, 1.5, True, None]}],
        "n": MARK,
    }


def test_a_value_that_is_too_short_is_refused_and_nothing_shows_what_is_known() -> None:
    with pytest.raises(ValueError, match="fewer than"):
        Redaction().add("x" * (FEWEST_CHARACTERS - 1))

    assert "hunter22" not in repr(knowing("hunter22"))


@given(st.data())
def test_a_stream_is_redacted_as_it_would_be_whole_however_it_is_cut(data: st.DataObject) -> None:
    redaction = knowing("abcabd", "bdbdbd", KEY)
    parts = st.sampled_from(["abcabd", "abcab", "bdbdbd", "abcabdbdbd", "c", "xyz", KEY, KEY[:40], "\n"])
    whole = "".join(data.draw(st.lists(parts, max_size=12))).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    stream = RedactedStream(redaction)

    pieces = [
        stream.feed(whole[begin:end]) for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True) if begin < end
    ]

    assert b"".join([*pieces, stream.rest()]) == redaction.content(whole)


def test_a_stream_holds_nothing_back_but_what_may_be_the_beginning_of_a_secret() -> None:
    stream = RedactedStream(knowing("open-sesame"))

    assert stream.feed(b"a line\n") == b"a line\n"
    assert stream.feed(b"the word is open-") == b"the word is "
    assert stream.feed(b"ended\n") == b"open-ended\n"
    assert stream.rest() == b""


def test_a_value_that_becomes_known_in_the_middle_of_a_stream_is_redacted_from_there_on() -> None:
    redaction = Redaction()
    stream = RedactedStream(redaction)

    assert stream.feed(b"open-sesame ") == b"open-sesame "
    redaction.add("open-sesame")
    assert stream.feed(b"open-sesame ") == MARK.encode() + b" "


def test_what_threads_make_known_at_once_is_all_known() -> None:
    redaction, values = Redaction(), [f"value-{number:04}" for number in range(200)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(redaction.add, values))

    assert redaction.text(" ".join(values)) == " ".join([MARK] * 200)


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    assert knowing("open-sesame").content(b"\xff\xfe open-sesame \x80") == b"\xff\xfe " + MARK.encode() + b" \x80"


def test_base64_that_is_wrapped_by_hand_is_found_line_by_line() -> None:
    lines = textwrap.wrap(base64.b64encode(KEY.encode()).decode(), 64)

    redacted = knowing(KEY).text("\n".join(lines))

    assert not any(line in redacted for line in lines)

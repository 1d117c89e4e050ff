"""A chain of audit events, its signed heads, and what is found when either is bent."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure.audit.chain import NOTHING, SealedEvent, SignedHead, canonical, hash_of, seal
from perdure.audit.checker import MOST_FAULTS, ChainChecker, Remembered
from perdure.audit.events import AuditEvent
from perdure.audit.lines import ChainEnd, ExportUnreadable, header_line, line_of, read_lines
from perdure.audit.signing import HeadKey, is_signed

KEY = HeadKey(b"k" * 32)
Item = SealedEvent | SignedHead


def event(number: int, **fields: Any) -> AuditEvent:
    told: dict[str, Any] = {
        "event_id": f"e{number}",
        "recorded_at": 1_700_000_000_000_000 + number,
        "type": "run.paused",
        "principal": "ada",
        "authenticated": True,
        "peer": "ipv4:10.0.0.7:4000",
        "method": "/perdure.v1.RunService/PauseRun",
        "resource": f"runs/{number}",
        "outcome": "DONE",
        "reason": "",
        "request_id": f"r-{number}",
        "details": {"has_reason": "true"},
    }
    return AuditEvent(**{**told, **fields})


def chained(count: int, signed: tuple[int, ...] = (), first: int = 1, before: bytes = NOTHING) -> list[Item]:
    """A chain of so many events, with a signed head at some of them."""
    items: list[Item] = []
    for position in range(first, first + count):
        sealed = seal(event(position), position, before)
        before = sealed.hash
        items.append(sealed)
        if position in signed:
            items.append(KEY.sign(position, before, 1_700_000_000_000_000))
    return items


def checked(items: list[Item], **given: Any) -> ChainChecker:
    checker = ChainChecker(is_signed, **given)
    for item in items:
        checker.take(item) if isinstance(item, SealedEvent) else checker.take_head(item)
    return checker


def first_fault(checker: ChainChecker) -> int:
    fault = checker.first_fault
    assert fault is not None
    return fault.position


def test_a_chain_that_nobody_touched_is_whole() -> None:
    checker = checked(chained(20, signed=(7, 20)), public_keys=[KEY.public_key])
    checker.finish(20, checker.hash)

    assert (checker.faults, checker.events, checker.signed, checker.first) == ([], 20, 20, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, "another") for name in ("event_id", "type", "principal", "peer", "method", "resource")),
        *((name, "another") for name in ("outcome", "reason", "request_id")),
        *(("recorded_at", 1), ("authenticated", False), ("details", {"has_reason": "false"}), ("details", {})),
    ],
)
def test_an_event_of_which_anything_was_changed_is_named(field: str, value: Any) -> None:
    items = chained(20)
    changed = items[8]
    assert isinstance(changed, SealedEvent)
    items[8] = replace(changed, event=replace(changed.event, **{field: value}))

    assert first_fault(checked(items)) == 9


@pytest.mark.parametrize(
    ("bend", "position"),
    [
        (lambda items: items.pop(8), 9),
        (lambda items: items.pop(0), 1),
        (lambda items: items.insert(8, items.pop(12)), 9),
        (lambda items: items.insert(8, items[8]), 9),
        (lambda items: items.insert(8, seal(event(99), 9, items[7].hash)), 9),
        (lambda items: items.__setitem__(8, seal(event(99), 9, items[7].hash)), 9),
    ],
    ids=["dropped", "the first dropped", "moved", "there twice", "added", "put in place of another"],
)
def test_what_is_not_where_it_was_is_named_first(bend: Callable[[list[Any]], Any], position: int) -> None:
    items: list[Any] = chained(20)
    bend(items)

    assert first_fault(checked(items)) == position


def test_events_that_were_swapped_and_given_each_other_s_places_are_named() -> None:
    items: list[Any] = chained(20)
    items[8], items[9] = (
        replace(items[8], event=items[9].event),
        replace(items[9], event=items[8].event),
    )

    assert first_fault(checked(items)) == 9


def test_a_chain_that_was_cut_off_is_named_at_the_first_that_is_missing() -> None:
    items = chained(20, signed=(20,))
    head = items[-1]
    last = items[19]
    assert isinstance(last, SealedEvent)

    by_its_end = checked(items[:15])
    by_its_end.finish(20, last.hash)
    by_a_head = checked([*items[:15], head])
    by_memory = checked(items[:15], remembered=Remembered(18, b"x" * 32))
    by_memory.finish()

    assert [first_fault(one) for one in (by_its_end, by_a_head, by_memory)] == [16, 16, 16]


def test_a_chain_that_was_made_anew_is_found_by_a_signed_head_and_by_what_is_remembered() -> None:
    true: list[Any] = chained(20, signed=(12,))
    anew: list[Any] = []
    for item in true:
        told = item.event if isinstance(item, SealedEvent) else None
        if told is None:
            anew.append(item)
            continue
        told = replace(told, principal="eve") if item.position == 5 else told
        sealed = [one for one in anew if isinstance(one, SealedEvent)]
        anew.append(seal(told, item.position, sealed[-1].hash if sealed else NOTHING))
    unsigned = [item for item in anew if isinstance(item, SealedEvent)]

    assert first_fault(checked(anew)) == 12
    assert checked(unsigned).faults == []
    assert first_fault(checked(unsigned, remembered=Remembered(14, true[14].hash))) == 14


def test_a_signature_that_is_not_good_or_by_another_key_is_no_proof() -> None:
    other = HeadKey(b"o" * 32)
    items: list[Any] = chained(5)
    good = KEY.sign(5, items[4].hash, 1)
    for head in (replace(good, signed_at=2), replace(good, signature=b"x" * 64), replace(good, public_key=b"x")):
        assert first_fault(checked([*items, head])) == 5

    by_another = checked([*items, other.sign(5, items[4].hash, 1)], public_keys=[KEY.public_key])

    assert first_fault(by_another) == 5
    assert by_another.signed == 0


def test_a_chain_whose_beginning_was_pruned_begins_with_the_signed_head_of_it() -> None:
    items = chained(20, signed=(10,))
    rest = [item for item in items if item.position >= 10][1:]
    remembered = Remembered(4, b"x" * 32)

    whole = checked(rest, remembered=remembered)
    without_head = checked(rest[1:])

    assert (whole.faults, whole.first, whole.events) == ([], 11, 10)
    assert whole.remembers_too_early
    assert first_fault(without_head) == 1


def test_of_many_faults_some_are_named() -> None:
    items = [replace(item, hash=b"x" * 32) for item in chained(1000) if isinstance(item, SealedEvent)]

    assert len(checked(list(items)).faults) == MOST_FAULTS


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(st.text("abcdef_", max_size=5), st.text() | st.integers(-(2**53) + 1, 2**53 - 1) | st.booleans())
)
def test_the_canonical_form_is_that_of_rfc_8785(document: dict[str, Any]) -> None:
    assert canonical(document) == rfc8785.dumps(document)


def test_a_hash_can_be_computed_from_what_is_written_down() -> None:
    # With any tool: SHA-256 over 32 zero bytes and these.
    text = (
        '{"authenticated":true,"details":{"has_reason":"true"},"event_id":"e1","method":"/perdure.v1.RunService/PauseRun",'
        '"outcome":"DONE","peer":"ipv4:10.0.0.7:4000","position":1,"principal":"ada","reason":"",'
        '"recorded_at":1700000000000001,"request_id":"r-1","resource":"runs/1","type":"run.paused"}'
    )

    assert canonical(json.loads(text)) == text.encode()
    assert hash_of(event(1), 1, NOTHING).hex() == "fbe32ad16d4aa2be1c3629d89102e92f23fe78376a3bd042741f2504148c8ad8"


def test_an_export_is_read_as_it_was_written() -> None:
    items = [*chained(5, signed=(3, 5)), ChainEnd(5, b"h" * 32, 2)]
    lines = [header_line(), *map(line_of, items)]

    assert list(read_lines(lines)) == items


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"{}", b'{"event": {}}', b'{"other": {}}', b'{"event": 1}', b'{"end": {"position": "1"}}', b"\xff",
     b"[" * 100_000],
)  # fmt: skip
def test_a_line_that_is_none_of_an_export_is_named(line: bytes) -> None:
    with pytest.raises(ExportUnreadable, match="line 2 is none"):
        list(read_lines([header_line(), line]))


@pytest.mark.parametrize("lines", [[], [b'{"event": {}}'], [b'{"header": {"form": 2}}'], [b"PK"]])
def test_what_does_not_begin_as_an_export_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(ExportUnreadable):
        list(read_lines(lines))


@pytest.mark.parametrize("field", ["recorded_at", "authenticated", "details", "principal"])
def test_a_field_of_another_kind_is_refused(field: str) -> None:
    (item,) = chained(1)
    document = json.loads(line_of(item))
    document["event"][field] = 1.5

    with pytest.raises(ExportUnreadable):
        list(read_lines([header_line(), json.dumps(document).encode()]))


def test_half_of_a_sign_is_refused() -> None:
    (item,) = chained(1)
    document = json.loads(line_of(item))
    document["event"]["principal"] = "\ud800"

    with pytest.raises(ExportUnreadable, match="line 2"):
        list(read_lines([header_line(), json.dumps(document).encode()]))

"""Refusals, reasons and status codes: the classes, the table and the published comments say the same."""

import ast
import importlib
import inspect
import pathlib
import pkgutil
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

import perdure_control_plane
from perdure.v1 import errors_pb2
from perdure_control_plane.api.status import CODES, DOMAIN, internal_status, status_of
from perdure_control_plane.domain.errors import CallerFault, EffectMayRun, FieldFault, PerdureError

NOT_REFUSALS = {
    "INTERNAL": "a program error; the interceptor answers it, and nothing raises it on purpose",
}
"""Reasons that no class has, and why."""

SAMPLES: dict[Any, Any] = {
    str: "sample",
    int: 7,
    CallerFault: CallerFault.MISSING,
    FieldFault: FieldFault("field", "is wrong"),
    Sequence[str]: ("runs/sample",),
    tuple[FieldFault, ...]: (FieldFault("field", "is wrong"),),
}


def descendants(of: type[PerdureError]) -> Iterator[type[PerdureError]]:
    for child in of.__subclasses__():
        if child.__module__.startswith(perdure_control_plane.__name__):
            yield child
            yield from descendants(child)


def modules() -> list[str]:
    found = pkgutil.walk_packages(perdure_control_plane.__path__, f"{perdure_control_plane.__name__}.")
    return [module.name for module in found if ".migrations" not in module.name]


def refusals() -> list[type[PerdureError]]:
    """Every class that stands for one refusal, wherever it is defined; those with children only group them."""
    for module in modules():
        importlib.import_module(module)
    return [found for found in descendants(PerdureError) if not found.__subclasses__()]


def sample(refusal: type[PerdureError]) -> PerdureError:
    """One of them, made from sample values by the types of its parameters."""
    needed = [
        parameter
        for parameter in inspect.signature(refusal).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    return refusal(*(SAMPLES[parameter.annotation] for parameter in needed))


def raised_in(text: str) -> set[str]:
    """Names of the classes that a file makes, or raises as they are."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Name(id=name)) | ast.Raise(exc=ast.Name(id=name)):
                found.add(name)
            case ast.Call(func=ast.Attribute(attr=name)):
                found.add(name)
    return found


REFUSALS = refusals()
each_refusal = pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.__name__)


def test_every_refusal_has_a_line_in_the_table_and_every_line_a_refusal() -> None:
    assert set(CODES) == set(REFUSALS)


def test_every_refusal_has_a_reason_of_its_own() -> None:
    reasons = [vars(refusal).get("reason") for refusal in REFUSALS]

    assert None not in reasons
    assert len(set(reasons)) == len(reasons)


def test_every_published_reason_is_a_refusal_s(reasons: dict[str, Any]) -> None:
    assert {refusal.reason for refusal in REFUSALS} | set(NOT_REFUSALS) == set(reasons)
    assert all(NOT_REFUSALS.values())


@each_refusal
def test_the_published_status_code_is_the_one_that_is_sent(
    refusal: type[PerdureError], reasons: dict[str, Any]
) -> None:
    code, retry_seconds = CODES[refusal]

    assert reasons[refusal.reason].code == code.name
    assert reasons[refusal.reason].retries == (retry_seconds is not None)


@each_refusal
def test_the_metadata_are_those_that_are_published(refusal: type[PerdureError], reasons: dict[str, Any]) -> None:
    error = sample(refusal)

    assert set(error.metadata) == reasons[refusal.reason].metadata
    assert bool(error.faults) >= reasons[refusal.reason].has_faults


@each_refusal
def test_a_status_has_one_error_info_and_what_its_reason_promises(
    refusal: type[PerdureError], reasons: dict[str, Any]
) -> None:
    error = sample(refusal)
    kinds = [detail.TypeName() for detail in status_of(error).details]
    info = error_details_pb2.ErrorInfo()

    assert status_of(error).details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (refusal.reason, DOMAIN, dict(error.metadata))
    assert kinds.count("google.rpc.ErrorInfo") == 1
    assert kinds.count("google.rpc.RetryInfo") == reasons[refusal.reason].retries
    assert kinds.count("google.rpc.BadRequest") == bool(error.faults)


def test_a_program_error_gives_the_metadata_that_are_published(reasons: dict[str, Any]) -> None:
    info = error_details_pb2.ErrorInfo()

    assert internal_status("abc").details[0].Unpack(info)
    assert reasons["INTERNAL"].code == "INTERNAL"
    assert set(info.metadata) == reasons["INTERNAL"].metadata


def test_a_refusal_whose_reason_is_not_published_is_a_program_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unpublished(PerdureError):
        reason = "NONESUCH"

    monkeypatch.setitem(CODES, Unpublished, (grpc.StatusCode.INTERNAL, None))

    with pytest.raises(ValueError, match="NONESUCH"):
        status_of(Unpublished("x"))


def test_every_refusal_is_raised_somewhere() -> None:
    raised: set[str] = set()
    for folder in ("api", "domain", "manifests", "storage", "usecases"):
        for path in (pathlib.Path(perdure_control_plane.__path__[0]) / folder).rglob("*.py"):
            raised |= raised_in(path.read_text())

    silent = {refusal.__name__ for refusal in REFUSALS} - raised

    assert silent == set()


def test_reasons_are_named_as_their_enum_wants_them() -> None:
    names = {f"ERROR_REASON_{refusal.reason}" for refusal in REFUSALS}

    assert names <= set(errors_pb2.ErrorReason.keys())


def test_what_a_file_raises_is_read_from_it() -> None:
    text = "raise NotFound\nraise errors.Conflict(1)\nx = lambda: TooLarge(1)\nerror: ServerDraining | None = None\n"

    assert raised_in(text) == {"NotFound", "Conflict", "TooLarge"}


def test_an_error_that_knows_after_how_long_to_try_again_says_so() -> None:
    retry = error_details_pb2.RetryInfo()

    (detail,) = [one for one in status_of(EffectMayRun("runs/r", "a:1#1", 42)).details if one.Unpack(retry)]

    assert retry.retry_delay.ToSeconds() == 42
    assert detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR)

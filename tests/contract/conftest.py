"""The protos with their comments, as the compiler reads them."""

import pathlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc_tools
import pytest
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

from perdure.v1 import errors_pb2, scopes_pb2  # noqa: F401  # the scope option is read with its extension registered

ROOT = pathlib.Path(__file__).parents[2]
WELL_KNOWN = pathlib.Path(grpc_tools.__file__).parent / "_proto"

METADATA = re.compile(r"Metadata:((?:\s*`\w+`,?)+)\.")


@dataclass(frozen=True, repr=False)
class Element:
    """A service, rpc, message, field, oneof, enum or value, with the comment before it."""

    kind: str
    file: str
    name: str
    """Its own name; of an enum's value without the enum's prefix."""
    full_name: str
    comment: str
    proto: Any

    def __str__(self) -> str:
        return f"{self.file}: {self.full_name}"


@dataclass(frozen=True, repr=False)
class Contract:
    """Everything that the protos promise."""

    files: dict[str, descriptor_pb2.FileDescriptorProto]
    elements: tuple[Element, ...]

    def of(self, kind: str) -> list[Element]:
        return [element for element in self.elements if element.kind == kind]

    def message(self, name: str) -> Any:
        """The message of a full name, such as a method's input."""
        return next(element.proto for element in self.of("message") if element.full_name == name.lstrip("."))


@dataclass(frozen=True)
class Reason:
    """What the comment of an ErrorReason says."""

    code: str
    retries: bool
    has_faults: bool
    metadata: frozenset[str]


def compiled(protos: pathlib.Path, into: pathlib.Path) -> Contract:
    """Compiles the protos of a folder, comments included."""
    sources = sorted(protos.glob("perdure/v1/*.proto"))
    image = into / "image.binpb"
    arguments = ["--include_source_info", f"--descriptor_set_out={image}", *map(str, sources)]
    assert protoc.main(["protoc", f"-I{protos}", f"-I{WELL_KNOWN}", *arguments]) == 0
    files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file
    return Contract({file.name: file for file in files}, tuple(found for file in files for found in _elements(file)))


def _elements(file: descriptor_pb2.FileDescriptorProto) -> Iterator[Element]:
    comments = {
        tuple(location.path): " ".join(location.leading_comments.split()) for location in file.source_code_info.location
    }

    def element(kind: str, path: tuple[int, ...], scope: str, proto: Any, name: str = "") -> Element:
        return Element(kind, file.name, name or proto.name, f"{scope}.{proto.name}", comments.get(path, ""), proto)

    def in_enum(enum: Any, path: tuple[int, ...], scope: str) -> Iterator[Element]:
        prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper() + "_"
        yield element("enum", path, scope, enum)
        for index, value in enumerate(enum.value):
            own = value.name.removeprefix(prefix)
            yield element("value", (*path, 2, index), f"{scope}.{enum.name}", value, own)

    def in_message(message: Any, path: tuple[int, ...], scope: str) -> Iterator[Element]:
        if message.options.map_entry:
            comment = "What the compiler makes of a map; its fields have no place for a comment."
            yield Element("message", file.name, message.name, f"{scope}.{message.name}", comment, message)
            return
        yield element("message", path, scope, message)
        inner = f"{scope}.{message.name}"
        for index, field in enumerate(message.field):
            yield element("field", (*path, 2, index), inner, field)
        for index, nested in enumerate(message.nested_type):
            yield from in_message(nested, (*path, 3, index), inner)
        for index, enum in enumerate(message.enum_type):
            yield from in_enum(enum, (*path, 4, index), inner)
        for index, oneof in enumerate(message.oneof_decl):
            if not oneof.name.startswith("_"):
                yield element("oneof", (*path, 8, index), inner, oneof)

    for index, message in enumerate(file.message_type):
        yield from in_message(message, (4, index), file.package)
    for index, enum in enumerate(file.enum_type):
        yield from in_enum(enum, (5, index), file.package)
    for index, service in enumerate(file.service):
        yield element("service", (6, index), file.package, service)
        for place, method in enumerate(service.method):
            yield element("rpc", (6, index, 2, place), f"{file.package}.{service.name}", method)
    for index, extension in enumerate(file.extension):
        yield element("field", (7, index), file.package, extension)


@pytest.fixture(scope="session")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The protos as they are."""
    return compiled(ROOT / "protos", tmp_path_factory.mktemp("contract"))


@pytest.fixture
def written(tmp_path: pathlib.Path) -> Any:
    """Compiles protos that a test wrote, to see faults found in them."""

    def write(**texts: str) -> Contract:
        for name, text in texts.items():
            path = tmp_path / "protos" / "perdure" / "v1" / f"{name}.proto"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'syntax = "proto3";\npackage perdure.v1;\n{text}')
        return compiled(tmp_path / "protos", tmp_path)

    return write


@pytest.fixture(scope="session")
def reasons(contract: Contract) -> dict[str, Reason]:
    """What the comments of ErrorReason promise, by reason."""
    found = {}
    for value in contract.of("value"):
        if value.full_name.startswith("perdure.v1.ErrorReason.") and value.proto.number:
            code = re.match(r"[A-Z_]+", value.comment)
            named = METADATA.search(value.comment)
            found[value.name] = Reason(
                code[0] if code else "",
                "with RetryInfo" in value.comment,
                "BadRequest" in value.comment,
                frozenset(re.findall(r"`(\w+)`", named[1])) if named else frozenset(),
            )
    return found

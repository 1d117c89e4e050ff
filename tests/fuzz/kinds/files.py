"""Files and words that people give to `perdure` and to the programs' settings: exports, requests, profiles, JSON.

Nothing is asked of a server here but by whole commands; each reader is to end with an answer or its own refusal.
"""

import io
import json
import os
import pathlib
import random
from collections.abc import Callable, Iterable
from typing import Any, Final
from unittest import mock

import typer
from typer.testing import CliRunner

from perdure.addresses import server_address
from perdure.audit.chain import SealedEvent
from perdure.audit.checker import ChainChecker
from perdure.audit.lines import ExportUnreadable, header_line, line_of, read_lines
from perdure.audit.signing import is_signed
from perdure.cli.audit_trail import check_export, items
from perdure.cli.durations import parse_duration
from perdure.cli.exported_logs import ExportCheck
from perdure.cli.json_text import json_object_or_file, json_or_text
from perdure.cli.main import app
from perdure.cli.moments import moment_message
from perdure.cli.profiles import FILE, read_profiles
from perdure.cli.request_file import read_request_file
from perdure.cli.settings import read_settings
from perdure.cli.verdicts import Examined
from perdure.cli.witness_files import read_witnesses
from perdure.client.exports import write_record
from perdure.keys import KeyUnusable, read_key_file
from perdure.v1.exports_pb2 import ExportHeader, ExportRecord
from perdure_services.settings import SettingsInvalid, load_control_plane, load_executor
from tests.fuzz.bending import CONTENTS, TEXTS, bent_bytes, bent_json, bent_text
from tests.fuzz.case import Outcome, Place
from tests.fuzz.messages import bent

REQUEST: Final = {
    "provider": "builtin", "content": "be nice", "source_plugin": "chat", "source_kind": "message", "actor_id": "u-7",
    "input": {"n": 3, "tags": ["a", None, 1.5]}, "metadata": {"ticket": "T-1", "deep": {"levels": [1, {"a": True}]}},
    "attachments": [], "reply_address": None,
}  # fmt: skip
PROFILES: Final = {
    "current": "home",
    "profiles": {"home": {"server": "127.0.0.1:7400", "key": "perdure_0123456789", "key_file": ""}},
}
SETTINGS: Final = """
server = "127.0.0.1:7400"
output = "json"
"""
PROGRAM_SETTINGS: Final = """
[control_plane]
port = 7400
lease_seconds = 30
jwt_roles = ["ops=operator"]
tls_client_roles = ["spiffe://site/*=executor"]
log_format = "json"
[executor]
server = "127.0.0.1:7400"
queues = ["default", "gpu"]
slots = 4
"""
WITNESSES: Final = '{"run_id": "r", "sequence": 3}\n{"key": "k", "node": "a"}\n'
WORDS: Final = (
    "1h30m",
    "90d",
    "2s",
    "2030-01-31T08:00:00Z",
    "-2h",
    "yesterday",
    "127.0.0.1:7400",
    "[::1]:7400",
    "ipv4:a:1,b:2",
    "{}",
    "[1]",
)
TYPED: Final = (typer.BadParameter, KeyUnusable, SettingsInvalid, ExportUnreadable)
"""Refusals that readers are allowed."""

Reader = Callable[[random.Random, Place, pathlib.Path], str]


def files(chance: random.Random, place: Place) -> Outcome:
    """One reader, and a file or a text for it that is bent."""
    read = chance.choice(READERS)
    path = place.directory / "bent"
    name = read.__name__.strip("_")
    try:
        word, fault = "taken", read(chance, place, path)
    except TYPED as refused:
        word, fault = type(refused).__name__, ""
    except Exception as error:  # noqa: BLE001  # what a reader lets out is what is looked for
        word, fault = type(error).__name__, f"{type(error).__name__} came out of it: {error}"[:1000]
    return Outcome(name, word, repr(path.read_bytes())[:20_000] if fault and path.exists() else name, fault)


def _write(path: pathlib.Path, content: bytes | str) -> None:
    path.write_bytes(content.encode(errors="surrogatepass") if isinstance(content, str) else content)
    path.chmod(0o600)


def _json(chance: random.Random, document: Any) -> bytes:
    """A JSON document that is bent in its structure, in its text, or no JSON at all."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        document = bent_json(chance, document)
    text = json.dumps(document)
    draw = chance.random()
    if draw < 0.25:
        return bent_bytes(chance, text.encode())
    return chance.choice(CONTENTS) if draw < 0.3 else text.encode()


def _audit_export(chance: random.Random, place: Place, path: pathlib.Path) -> str:
    whole = _now(items(_stream(place.population.audited)))
    lines = [header_line(), *map(line_of, whole)]
    kept = [item for item in whole if isinstance(item, SealedEvent)]
    lines = _bent_lines(chance, lines)
    _write(path, b"".join(lines))
    checker = ChainChecker(is_signed)
    check_export(path, checker).finish()
    try:
        read = [item for item in read_lines(lines) if isinstance(item, SealedEvent)]
    except ExportUnreadable:
        read = []
    return (
        ""
        if checker.faults or read == kept
        else "events were changed, dropped or moved, and the check has not found it"
    )


def _bent_lines(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    lines = list(lines)
    for _ in range(chance.choice((1, 1, 1, 2))):
        at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        match chance.randrange(6):
            case 0 if len(lines) > 1:
                del lines[at]
            case 1:
                lines[at], lines[other] = lines[other], lines[at]
            case 2:
                lines.insert(other, lines[at])
            case 3:
                lines[at] = bent_bytes(chance, lines[at])
            case 4:
                del lines[at + 1 :]
            case _:
                try:
                    lines[at] = json.dumps(bent_json(chance, json.loads(lines[at]))).encode() + b"\n"
                except ValueError:
                    lines[at] = b"\n"
    return lines


async def _stream(responses: Iterable[Any]) -> Any:
    for response in responses:
        yield response


def _now(stream: Any) -> list[Any]:
    """What a stream gives that waits for nothing."""
    taken = []
    step = stream.__aiter__()
    while True:
        try:
            step.__anext__().send(None)
        except StopIteration as item:
            taken.append(item.value)
        except StopAsyncIteration:
            return taken


def _run_export(chance: random.Random, place: Place, path: pathlib.Path) -> str:
    runs = chance.sample(place.population.exported, chance.choice((1, 2)))
    records = [record for run in runs for record in run]
    for _ in range(chance.choice((1, 1, 2))):
        at, other = chance.randrange(len(records)), chance.randrange(len(records))
        match chance.randrange(4):
            case 0 if len(records) > 1:
                del records[at]
            case 1:
                records[at], records[other] = records[other], records[at]
            case _:
                changed = bent(chance, records[at], place.population.words)
                assert isinstance(changed, ExportRecord)
                records[at] = changed
    file = io.BytesIO()
    write_record(file, header=ExportHeader(form=1))
    for record in records:
        kind = record.WhichOneof("record")
        write_record(file, **({kind: getattr(record, kind)} if kind else {}))
    content = file.getvalue()
    _write(path, bent_bytes(chance, content) if chance.random() < 0.2 else content)
    examined = Examined()
    ExportCheck(examined, keep=True).read(path)
    examined.relate(at_rest=False)
    return ""


def _request_file(chance: random.Random, place: Place, path: pathlib.Path) -> str:
    _write(path, _json(chance, REQUEST))
    read_request_file(path).SerializeToString()
    return ""


def _profiles(chance: random.Random, place: Place, path: pathlib.Path) -> str:
    _write(path, _json(chance, PROFILES))
    with mock.patch.dict(os.environ, {FILE: str(path)}):
        read_profiles()
    return ""


def _settings(chance: random.Random, place: Place, path: pathlib.Path) -> str:
    _write(path, _bent_often(chance, SETTINGS))
    read_settings(path)
    return ""


def _program_settings(chance: random.Random, place: Place, path: pathlib.Path) -> str:
    _write(path, _bent_often(chance, PROGRAM_SETTINGS))
    load = load_control_plane if chance.random() < 0.5 else load_executor
    load(path, {})
    return ""


def _witnesses(chance: random.Random, place: Place, path: pathlib.Path) -> str:
    lines = [_json(chance, json.loads(line)) for line in WITNESSES.splitlines()]
    _write(path, b"\n".join(lines))
    files = [path]
    read_witnesses(files if chance.random() < 0.5 else None, files)
    return ""


def _key_file(chance: random.Random, place: Place, path: pathlib.Path) -> str:
    _write(path, _bent_often(chance, chance.choice(list(place.population.keys.values()))))
    read_key_file(path)
    return ""


def _words(chance: random.Random, place: Place, path: pathlib.Path) -> str:
    text = _bent_often(chance, chance.choice((*WORDS, *TEXTS)))
    reader: Callable[..., Any] = chance.choice(
        (parse_duration, moment_message, json_or_text, json_object_or_file, server_address)
    )
    _write(path, text)
    try:
        reader(text) if reader is server_address else reader(text, "--option")
    except ValueError:
        if reader is not server_address:
            raise
    return ""


def _bent_often(chance: random.Random, text: str) -> str:
    for _ in range(chance.choice((1, 1, 2, 4))):
        text = bent_text(chance, text)
    return text


def _command(chance: random.Random, place: Place, path: pathlib.Path) -> str:
    """A whole command, against the server."""
    name = f"flows/approve-0{place.population.suffix}"
    version = place.population.versions["done"]
    start = ["flows", "start", version.name, "--session", f"s{place.population.suffix}", "--key", f"cli-{place.number}"]
    commands = [
        [
            "audit",
            "verify",
            "--export",
            str(path),
            "--remembered",
            _bent_often(chance, f"{chance.choice((3, '1' * 5000))}:{'a' * 64}"),
        ],
        ["verify", "--export", str(path)],
        ["playbooks", "validate", "--manifest-file", str(path)],
        [*start, "--request-file", str(path)],
        [*start, "--input-json", f"@{path}", "--input", _bent_often(chance, "n=3")],
        ["flows", "get", _bent_often(chance, name)],
        ["runs", "list", "--flow", _bent_often(chance, name)],
    ]
    _write(path, _json(chance, REQUEST) if chance.random() < 0.7 else bent_bytes(chance, header_line()))
    key = place.population.keys["admin"]
    arguments = [
        "--server",
        place.servers.address,
        "-o",
        chance.choice(("json", "table", "yaml")),
        *chance.choice(commands),
    ]
    environment = {"PERDURE_KEY": key, FILE: str(place.directory / "none")}
    done = CliRunner().invoke(app, arguments, env=environment)
    said = f"{done.output}\n{arguments}"
    if "UNEXPECTED" in done.output or (done.exception and not isinstance(done.exception, SystemExit)):
        return f"perdure itself has failed: {done.exception!r} {said}"
    return "the key is printed" if key in done.output else ""


READERS: Final[tuple[Reader, ...]] = (
    _audit_export, _audit_export, _run_export, _run_export, _run_export, _request_file, _request_file, _profiles,
    _settings,
    _program_settings, _witnesses, _key_file, _words, _command,
)  # fmt: skip

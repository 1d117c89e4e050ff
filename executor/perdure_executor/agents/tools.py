"""What the workspace tools answer: small JSON objects that say when something was cut."""

import contextlib
import itertools
import json
import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from perdure.runlog.json_objects import JsonObject
from perdure_executor.agents.workspace import (
    MOST_ENTRIES,
    MOST_READ,
    Content,
    File,
    NotReadable,
    Tree,
    Workspace,
)

ANSWER_BYTES: Final = 32 * 1024
"""Bytes of files' content, or of names and matches, that one answer holds."""

MOST_FILES: Final = 400
MOST_FOLDERS: Final = 60
MOST_KINDS: Final = 12
MOST_MATCHES: Final = 50
MATCH_CHARACTERS: Final = 200
SEARCHED_BYTES: Final = 32 * 1024 * 1024
SEARCHED_FILE_BYTES: Final = 1024 * 1024
"""Bytes that one search reads, in all and of any one file."""


def list_files(workspace: Workspace, folder: str = "") -> JsonObject:
    """The files below a folder, nearest first, with what there is of them in all. Raises NotReadable."""
    tree = workspace.walk(folder)
    files = _fitting(({"path": file.path, "bytes": file.size} for file in tree.files), MOST_FILES)
    answer: JsonObject = {
        "folder": tree.folder,
        "file_count": len(tree.files),
        "byte_count": sum(file.size for file in tree.files),
        "kinds": dict(Counter(map(_kind, tree.files)).most_common(MOST_KINDS)),
        "folders": list(itertools.islice(_folders(tree), MOST_FOLDERS)),
        "passed_over": list(tree.passed_over[:MOST_FOLDERS]),
        "files": files,
    }
    cuts = [
        f"{len(files)} of {len(tree.files)} files are listed; list a folder for more"
        if len(files) < len(tree.files)
        else "",
        f"only the first {MOST_ENTRIES} entries were looked at, and the counts are of those" if tree.stopped else "",
    ]
    return answer | _cut(cuts)


def read_file(workspace: Workspace, path: str, first_line: int = 1) -> JsonObject:
    """The lines of a text file, from one on. Raises NotReadable."""
    content = workspace.read(path)
    lines = content.text.removesuffix("\n").split("\n") if content.text else []
    if first_line < 1 or first_line > max(1, len(lines)):
        raise NotReadable(f"{path!r} has the lines 1 to {len(lines)}, and no line {first_line}")
    text, shown = _first_bytes(lines[first_line - 1 :])
    last = first_line - 1 + shown
    answer: JsonObject = {
        "path": content.path,
        "bytes": content.size,
        "lines": len(lines),
        "first_line": first_line,
        "text": text,
    }
    cuts = [
        f"of line {first_line} only the start is here" if shown and len(text) < len(lines[first_line - 1]) else "",
        f"it ends with line {last} of {len(lines)}; go on with first_line={last + 1}" if last < len(lines) else "",
        "" if content.whole else f"of {content.size} bytes only the first {MOST_READ} can be read",
    ]
    return answer | _cut(cuts)


def search_files(workspace: Workspace, text: str, folder: str = "") -> JsonObject:
    """The lines that hold a text, whatever its case, in the text files below a folder. Raises NotReadable."""
    if not text.strip():
        raise NotReadable("there is no text to search for")
    tree = workspace.walk(folder)
    search = _Search(text)
    for file in tree.files:
        if search.bytes_left <= 0:
            break
        with contextlib.suppress(NotReadable):  # binary, most often; the answer counts what was not searched
            search.take_in(workspace.read(file.path, SEARCHED_FILE_BYTES))
    matches = _fitting(search.first, MOST_MATCHES)
    answer: JsonObject = {
        "text": text,
        "match_count": search.matches,
        "files_with_matches": search.files_with_matches,
        "files_searched": search.files,
        "files_not_searched": len(tree.files) - search.files,
        "matches": matches,
    }
    cuts = [
        f"{len(matches)} of {search.matches} matches are shown" if len(matches) < search.matches else "",
        f"of {search.partly} long files only the start was searched" if search.partly else "",
        "there is more than one search takes in; search a folder of it"
        if search.bytes_left <= 0 or tree.stopped
        else "",
    ]
    return answer | _cut(cuts)


@dataclass(slots=True)
class _Search:
    """A search under way. It counts every match and keeps the first."""

    text: str
    first: list[JsonObject] = field(default_factory=list)
    matches: int = 0
    files: int = 0
    files_with_matches: int = 0
    partly: int = 0
    bytes_left: int = SEARCHED_BYTES

    def take_in(self, content: Content) -> None:
        self.files += 1
        self.partly += not content.whole
        self.bytes_left -= min(content.size, SEARCHED_FILE_BYTES)
        wanted, before = self.text.lower(), self.matches
        if wanted not in content.text.lower():
            return
        for number, line in enumerate(content.text.split("\n"), 1):
            if wanted in line.lower():
                self.matches += 1
                if len(self.first) < MOST_MATCHES:
                    self.first.append({"path": content.path, "line": number, "text": line.strip()[:MATCH_CHARACTERS]})
        self.files_with_matches += self.matches > before


def _fitting(rows: Iterable[JsonObject], most: int) -> list[JsonObject]:
    """The first rows, as many as an answer holds."""
    fitting, left = [], ANSWER_BYTES
    for row in itertools.islice(rows, most):
        left -= len(json.dumps(row))
        if left < 0:
            break
        fitting.append(row)
    return fitting


def _folders(tree: Tree) -> Iterator[JsonObject]:
    """Each folder in the listed one, with what is below it."""
    start = pathlib.PurePosixPath(tree.folder)
    files, sizes = Counter[str](), Counter[str]()
    for file in tree.files:
        parts = pathlib.PurePosixPath(file.path).relative_to(start).parts
        if len(parts) > 1:
            files[parts[0]] += 1
            sizes[parts[0]] += file.size
    for name in sorted(files):
        yield {"path": (start / name).as_posix(), "files": files[name], "bytes": sizes[name]}


def _kind(file: File) -> str:
    path = pathlib.PurePosixPath(file.path)
    return path.suffix or path.name


def _first_bytes(lines: list[str]) -> tuple[str, int]:
    """The first lines as text, as many as an answer holds, and how many they are; of one too long by itself its start."""
    left = ANSWER_BYTES
    for number, line in enumerate(lines):
        left -= len(line.encode()) + 1
        if left < 0:
            if number == 0:
                return line.encode()[:ANSWER_BYTES].decode("utf-8", errors="ignore"), 1
            return "\n".join(lines[:number]), number
    return "\n".join(lines), len(lines)


def _cut(reasons: list[str]) -> JsonObject:
    told = "; ".join(filter(None, reasons))
    return {"cut": told} if told else {}

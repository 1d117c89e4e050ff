"""What was found, written for a person who reads about a work tree."""

from collections.abc import Iterable, Iterator
from typing import Final

from perdure.runlog.json_objects import JsonObject
from perdure_executor.agents.offline.facts import facts
from perdure_executor.agents.offline.findings import Findings

PROMPT_CHARACTERS: Final = 4000
MOST_LISTED: Final = 6

EXPECTED: Final = {
    "a README": ("readme",),
    "a licence": ("license", "licence", "copying"),
    "a changelog": ("changelog", "changes", "history", "news"),
    "tests": ("test", "spec"),
}
"""What most work trees have, and a part of the path that shows it."""

SIGNATURE: Final = (
    "Written by the built-in model from file names and contents alone. It states what is there and judges nothing; "
    "no language model was asked."
)


def report(findings: Findings) -> str:
    """The whole report, as plain text."""
    paragraphs = [_asked(findings.prompt), overview(findings), _read(findings), _searched(findings), _refused(findings)]
    return "\n\n".join([*filter(None, paragraphs), SIGNATURE])


def overview(findings: Findings) -> str:
    """What the tree holds, in numbers and names."""
    listing = findings.listing
    if listing is None:
        return "" if findings.read or findings.searched else "No file was looked at."
    counted = f"The work tree holds {_count(listing['file_count'], 'file')}, {_size(listing['byte_count'])}"
    kinds = [f"{count} {kind}" for kind, count in listing["kinds"].items()]
    lines = [f"{counted}: {_some(kinds)}." if kinds else f"{counted}."]
    folders = sorted(listing["folders"], key=lambda folder: -folder["bytes"])
    lines += _line("Folders", (f"{at['path']} ({_count(at['files'], 'file')}, {_size(at['bytes'])})" for at in folders))
    largest = sorted(listing["files"], key=lambda file: -file["bytes"])[:3]
    if "cut" not in listing:
        lines += _line("Largest files", (f"{file['path']} ({_size(file['bytes'])})" for file in largest))
        lines += _line("Looked for and not found", _missing(findings.paths))
    else:
        lines.append(f"Not complete: {listing['cut']}.")
    lines += _line("Passed over", listing["passed_over"])
    return "\n".join(lines)


def _asked(prompt: str) -> str:
    cut = len(prompt) - PROMPT_CHARACTERS
    shown = f"{prompt[:PROMPT_CHARACTERS]}\n({cut} more characters)" if cut > 0 else prompt
    return "\n".join(["Asked:", *(f"> {line}".rstrip() for line in shown.strip().split("\n"))])


def _read(findings: Findings) -> str:
    return "\n".join(["Read:", *map(_file, findings.read)]) if findings.read else ""


def _file(read: JsonObject) -> str:
    lines = "in part" if "cut" in read else _count(read["lines"], "line")
    told = "; ".join(facts(read["path"], read["text"])) or "it is empty"
    return f"- {read['path']} ({_size(read['bytes'])}, {lines}): {told}"


def _searched(findings: Findings) -> str:
    return "\n".join(line for search in findings.searched for line in _search(search))


def _search(search: JsonObject) -> Iterator[str]:
    where = f"{_count(search['files_searched'], 'text file')} searched"
    if not search["match_count"]:
        yield f"“{search['text']}” stands nowhere ({where})."
        return
    files = _count(search["files_with_matches"], "file")
    yield f"“{search['text']}” stands in {_count(search['match_count'], 'line')} of {files} ({where}):"
    for match in search["matches"][:MOST_LISTED]:
        yield f"- {match['path']}:{match['line']}: {match['text']}"
    if search["match_count"] > MOST_LISTED:
        yield f"- and {search['match_count'] - MOST_LISTED} more"


def _refused(findings: Findings) -> str:
    return "\n".join(
        ["Could not be looked at:", *(f"- {reason}" for reason in findings.refused)] if findings.refused else []
    )


def _missing(paths: list[str]) -> list[str]:
    known = [path.lower() for path in paths]
    return [what for what, signs in EXPECTED.items() if not any(sign in path for path in known for sign in signs)]


def _line(what: str, things: Iterable[str]) -> list[str]:
    listed = list(things)
    return [f"{what}: {_some(listed)}."] if listed else []


def _some(things: list[str]) -> str:
    more = f" and {len(things) - MOST_LISTED} more" if len(things) > MOST_LISTED else ""
    return ", ".join(things[:MOST_LISTED]) + more


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _size(size: int) -> str:
    if size < 1000:
        return _count(size, "byte")
    return f"{size / 1000:,.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:,.1f} MB"

"""What a page names is there: paths, make targets, commands and their flags, environment variables, links."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from perdure_services.settings import ControlPlaneSettings, ExecutorSettings

SHELLS = frozenset({"console", "sh", "bash", "ini", "dockerfile"})
KINDS_OF_FILES = "py|proto|md|toml|yaml|yml|service|txt|binpb"
PATH = re.compile(rf"\.?[\w*][\w.*-]*(/[\w.*-]+)+/?|[\w*][\w.*-]*/|[\w-]+\.({KINDS_OF_FILES})")
COLLECTIONS = re.compile(
    r"(runs|flows|sessions|playbooks|approvals|agents|executors|tasks|versions|keys|certificates|users)/"
)
"""Names on the wire, which look like paths."""

ELSEWHERE = re.compile(r"/|~|\.perdure/|\.venv/|build/|dist/|perdure/v1/\w+_pb2")
"""Paths of the reader's own machine, and what is made rather than kept."""

VARIABLE = re.compile(r"\bPERDURE_[A-Z_]+\b")
MAKE = re.compile(r"(?:^|&&|;|\|)\s*make((?: [\w./=-]+)+)")


def code(page: Any) -> Iterator[tuple[int, str]]:
    """Everything on a page that is meant to be typed: spans, and the lines of shell blocks."""
    yield from page.spans
    for block in page.blocks:
        if block.language in SHELLS:
            yield from ((block.line + 1 + index, line) for index, line in enumerate(block.text.splitlines()))


def missing_paths(folder: Any, page: Any) -> list[str]:
    made = {block.file for block in page.blocks if block.file}
    return [
        f"{page.path}:{line}: {text}"
        for line, text in page.spans
        if PATH.fullmatch(text) and not COLLECTIONS.match(text) and not ELSEWHERE.match(text)
        if text not in made and not folder.has(text)
    ]


def unknown_targets(page: Any, targets: set[str]) -> list[str]:
    return [
        f"{page.path}:{line}: make {target}"
        for line, text in code(page)
        for match in MAKE.finditer(text.removeprefix("$ "))
        for target in re.findall(r"(?<= )[a-z-]+(?= |$)", match[1])
        if target not in targets
    ]


def calls(text: str) -> Iterator[list[str]]:
    """The calls of our programs in a line of shell, each as its words."""
    lexer = shlex.shlex(text.removeprefix("$ "), posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:  # a quote that another line closes
        words = text.removeprefix("$ ").split()
    call: list[str] | None = None
    for word in [*words, ";"]:
        if call is not None and set(word) <= set("();<>|&"):
            yield call
            call = None
        elif call is not None:
            call.append(word)
        elif word.rpartition("/")[2].removeprefix("$(") in ("perdure", "perdure-server"):
            call = [word.rpartition("/")[2].removeprefix("$(")]


def call_fault(programs: Any, words: list[str]) -> str | None:
    """What is wrong with a call, or None."""
    command, options = programs[words[0]], set(programs[words[0]].options)
    name = words[0]
    for word in words[1:]:
        option = word.partition("=")[0]
        if option.startswith("-") and option.strip("-"):
            if option not in options:
                return f"{name} has no {option}"
        elif command.inner and re.fullmatch(r"[a-z][a-z-]*", word):
            if word not in command.inner:
                return f"there is no command {name} {word}"
            command, name = command.inner[word], f"{name} {word}"
            options |= command.options
    return None


def wrong_calls(programs: Any, page: Any) -> list[str]:
    return [
        f"{page.path}:{line}: {fault}"
        for line, text in code(page)
        for words in calls(text)
        if (fault := call_fault(programs, words)) is not None
    ]


def unknown_flags(programs: Any, page: Any, known_elsewhere: str) -> list[str]:
    """Flags that stand alone in backticks and that none of our commands has, nor the Makefile's."""
    ours = {flag for program in programs.values() for flag in program.options}
    ours |= {flag for name, program in programs.items() for _, one in program.all(name) for flag in one.options}
    return [
        f"{page.path}:{line}: {text}"
        for line, text in page.spans
        if re.fullmatch(r"--[a-z-]+", text) and text not in ours and text not in known_elsewhere
    ]


def known_variables() -> set[str]:
    kinds = (ControlPlaneSettings, ExecutorSettings)
    of_settings = {f"{kind.model_config['env_prefix']}{name.upper()}" for kind in kinds for name in kind.model_fields}
    words = ("SERVER", "KEY", "PROFILE", "PROFILES", "OUTPUT", "CONFIG", "SETTINGS", "TRACEBACK", "ENCRYPTION_KEYS")
    words += ("TLS_CA", "TLS_CERTIFICATE", "TLS_KEY")
    programs = {f"PERDURE_{word}" for word in words}
    of_commands = {"PERDURE_RUN_ID", "PERDURE_NODE", "PERDURE_ATTEMPT", "PERDURE_IDEMPOTENCY_KEY"}
    return of_settings | programs | of_commands | {kind.model_config["env_prefix"] for kind in kinds}


def unknown_variables(page: Any) -> list[str]:
    known = known_variables()
    return [f"{page.path}: {name}" for name in VARIABLE.findall(page.text) if name not in known]


def broken_links(folder: Any, page: Any) -> list[str]:
    return [
        f"{page.path}:{line}: {target}"
        for line, target in page.links
        if not target.startswith("https://") and not _leads_somewhere(folder, page, target)
    ]


def _leads_somewhere(folder: Any, page: Any, target: str) -> bool:
    path, _, anchor = target.partition("#")
    place = (folder.root / page.path).parent / path if path else folder.root / page.path
    if not place.exists() or not place.resolve().is_relative_to(folder.root.resolve()):
        return False
    if not anchor:
        return True
    other = folder.page(place.resolve().relative_to(folder.root.resolve()).as_posix())
    return anchor in other.anchors


def make_targets(makefile: str) -> set[str]:
    return {name for line in re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE) for name in line.split()}


def test_every_path_on_a_page_is_there(project: Any) -> None:
    assert [fault for page in project.pages for fault in missing_paths(project, page)] == []


def test_every_make_target_on_a_page_is_there(project: Any) -> None:
    targets = make_targets(project.text("Makefile"))

    assert [fault for page in project.pages for fault in unknown_targets(page, targets)] == []


def test_every_command_on_a_page_is_there_with_its_flags(project: Any, programs: Any) -> None:
    assert [fault for page in project.pages for fault in wrong_calls(programs, page)] == []


def test_every_flag_on_a_page_is_one_of_ours(project: Any, programs: Any) -> None:
    makefile = project.text("Makefile")

    assert [fault for page in project.pages for fault in unknown_flags(programs, page, makefile)] == []


def test_every_variable_on_a_page_is_read_or_set_by_us(project: Any) -> None:
    assert [fault for page in project.pages for fault in unknown_variables(page)] == []


def test_every_link_leads_somewhere(project: Any) -> None:
    assert [fault for page in project.pages for fault in broken_links(project, page)] == []


@pytest.mark.parametrize("named", ["docs/gone.md", "storage/gone.py", "gone.proto", "docs/gone/", "tests/*/gone.py"])
def test_a_path_that_is_not_there_is_found(planted: Any, page: Any, named: str) -> None:
    folder = planted({"docs/here.md": "", "control_plane/storage/writer.py": "", "tests/unit/test_a.py": ""})

    assert missing_paths(folder, page(f"See\n`{named}`.")) == [f"page.md:2: {named}"]


@pytest.mark.parametrize(
    "text", ["`docs/here.md`", "`storage/writer.py`", "`tests/*/test_a.py`", "`docs/`", "`runs/{run}`", "`a / b`"]
)
def test_a_path_that_is_there_and_what_is_no_path_are_not_found(planted: Any, page: Any, text: str) -> None:
    folder = planted({"docs/here.md": "", "control_plane/storage/writer.py": "", "tests/unit/test_a.py": ""})

    assert missing_paths(folder, page(text)) == []


@pytest.mark.parametrize(
    ("text", "line"), [("`make nothing`", 1), ("```console\n$ cd x && make PYTHON=python3 test nothing\n```", 2)]
)
def test_a_make_target_that_is_not_there_is_found(page: Any, text: str, line: int) -> None:
    assert unknown_targets(page(text), {"test"}) == [f"page.md:{line}: make nothing"]


def test_prose_that_only_has_the_word_make_is_no_target(page: Any) -> None:
    assert unknown_targets(page("You `can make it so`; make haste."), {"test"}) == []


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        ("perdure runs vanish RUN", "there is no command perdure runs vanish"),
        ("perdure runs get RUN --vanish", "perdure runs get has no --vanish"),
        ("echo x | perdure vanish", "there is no command perdure vanish"),
        ("id=$(perdure runs get --vanish=3)", "perdure runs get has no --vanish"),
        (".venv/bin/perdure-server up --vanish &", "perdure-server up has no --vanish"),
    ],
)
def test_a_command_or_flag_that_is_not_there_is_found(programs: Any, page: Any, call: str, fault: str) -> None:
    assert wrong_calls(programs, page(f"`{call}`")) == [f"page.md:1: {fault}"]
    assert wrong_calls(programs, page(f"```console\n$ {call}\n```")) == [f"page.md:2: {fault}"]


def test_commands_as_they_are_are_not_found(programs: Any, page: Any) -> None:
    text = "`perdure --server HOST:PORT runs get RUN -o json`, `perdure runs`, `perdure-server up --port 0 2> log &`"

    assert wrong_calls(programs, page(text)) == []


def test_a_flag_alone_that_no_command_has_is_found(programs: Any, page: Any) -> None:
    assert unknown_flags(programs, page("`--reason` and `--vanish` and `--quiet`"), "pip --quiet") == [
        "page.md:1: --vanish"
    ]


def test_a_variable_that_nobody_reads_is_found(page: Any) -> None:
    text = "PERDURE_SERVER, PERDURE_EXECUTOR_SLOTS, PERDURE_EXECUTOR_VANISH"

    assert unknown_variables(page(text)) == ["page.md: PERDURE_EXECUTOR_VANISH"]


@pytest.mark.parametrize("target", ["gone.md", "b.md#gone", "#gone", "../outside.md", "http://plain.example"])
def test_a_link_that_leads_nowhere_is_found(planted: Any, target: str) -> None:
    folder = planted({"docs/a.md": f"# A\n\n[a link]({target})\n", "docs/b.md": "# B: the *second*\n"})

    assert broken_links(folder, folder.page("docs/a.md")) == [f"docs/a.md:3: {target}"]


@pytest.mark.parametrize("target", ["b.md", "b.md#b-the-second", "#a", "..", "https://example.org/"])
def test_a_link_that_leads_somewhere_is_not_found(planted: Any, target: str) -> None:
    folder = planted({"docs/a.md": f"# A\n\n[a link]({target})\n", "docs/b.md": "# B: the *second*\n"})

    assert broken_links(folder, folder.page("docs/a.md")) == []

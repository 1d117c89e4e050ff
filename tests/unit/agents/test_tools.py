"""What the workspace tools answer."""

import pathlib
from collections.abc import Callable

import pytest

from perdure_executor.agents import tools
from perdure_executor.agents.tools import list_files, read_file, search_files
from perdure_executor.agents.workspace import NotReadable, Workspace

Tree = Callable[..., pathlib.Path]


def test_a_listing_has_the_files_and_what_there_is_of_them_in_all(tree: Tree) -> None:
    workspace = Workspace(str(tree({"README.md": "12345", "src/a.py": "1", "src/sub/b.py": "22", "docs/c.md": "333"})))

    assert list_files(workspace) == {
        "folder": ".",
        "file_count": 4,
        "byte_count": 11,
        "kinds": {".md": 2, ".py": 2},
        "folders": [{"path": "docs", "files": 1, "bytes": 3}, {"path": "src", "files": 2, "bytes": 3}],
        "passed_over": [],
        "files": [
            {"path": "README.md", "bytes": 5},
            {"path": "docs/c.md", "bytes": 3},
            {"path": "src/a.py", "bytes": 1},
            {"path": "src/sub/b.py", "bytes": 2},
        ],
    }


def test_a_listing_of_a_folder_names_paths_from_the_workspace(tree: Tree) -> None:
    workspace = Workspace(str(tree({"src/sub/b.py": "22", "README.md": ""})))

    listing = list_files(workspace, "src")

    assert [file["path"] for file in listing["files"]] == ["src/sub/b.py"]
    assert listing["folders"] == [{"path": "src/sub", "files": 1, "bytes": 2}]


def test_a_listing_that_is_cut_counts_what_it_leaves_out(tree: Tree) -> None:
    workspace = Workspace(str(tree({f"{number:03}.txt": "x" for number in range(tools.MOST_FILES + 5)})))

    listing = list_files(workspace)

    assert len(listing["files"]) == tools.MOST_FILES
    assert listing["file_count"] == tools.MOST_FILES + 5
    assert listing["cut"].startswith(f"{tools.MOST_FILES} of {tools.MOST_FILES + 5} files are listed")


def test_names_that_are_long_make_a_listing_short(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "ANSWER_BYTES", 600)
    workspace = Workspace(str(tree({f"{number}{'n' * 200}.txt": "" for number in range(5)})))

    assert len(list_files(workspace)["files"]) == 2


def test_reading_gives_the_text_with_its_size_in_lines_and_bytes(tree: Tree) -> None:
    workspace = Workspace(str(tree({"a.txt": "one\ntwo\n", "empty.txt": ""})))

    answer = {"path": "a.txt", "bytes": 8, "lines": 2, "first_line": 1, "text": "one\ntwo"}
    assert read_file(workspace, "a.txt") == answer
    assert read_file(workspace, "a.txt", 2)["text"] == "two"
    assert read_file(workspace, "empty.txt")["lines"] == 0


def test_reading_on_from_where_the_text_was_cut_gives_all_of_it(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "ANSWER_BYTES", 100)
    lines = [f"line {number}" for number in range(1, 41)]
    workspace = Workspace(str(tree({"a.txt": "\n".join(lines)})))

    seen: list[str] = []
    while len(seen) < len(lines):
        answer = read_file(workspace, "a.txt", len(seen) + 1)
        seen += answer["text"].split("\n")
        assert (f"go on with first_line={len(seen) + 1}" in answer.get("cut", "")) == (len(seen) < len(lines))

    assert seen == lines


def test_a_line_that_is_too_long_by_itself_is_cut_and_said_to_be(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "ANSWER_BYTES", 10)
    workspace = Workspace(str(tree({"a.txt": "é" * 20 + "\nnext"})))

    answer = read_file(workspace, "a.txt")

    assert answer["text"] == "é" * 5
    assert answer["cut"] == "of line 1 only the start is here; it ends with line 1 of 2; go on with first_line=2"


@pytest.mark.parametrize("first_line", [0, -1, 3])
def test_a_line_that_does_not_exist_is_refused(tree: Tree, first_line: int) -> None:
    workspace = Workspace(str(tree({"a.txt": "one\ntwo\n"})))

    with pytest.raises(NotReadable, match="has the lines 1 to 2"):
        read_file(workspace, "a.txt", first_line)


def test_a_search_finds_lines_whatever_their_case_and_passes_binary_files_over(tree: Tree) -> None:
    workspace = Workspace(str(tree({
        "a.py": "x = 1\n# todo: b\n", "sub/c.py": "TODO\n", "image.bin": b"TODO\0", "d.txt": "done",
    })))  # fmt: skip

    assert search_files(workspace, "Todo") == {
        "text": "Todo",
        "match_count": 2,
        "files_with_matches": 2,
        "files_searched": 3,
        "files_not_searched": 1,
        "matches": [{"path": "a.py", "line": 2, "text": "# todo: b"}, {"path": "sub/c.py", "line": 1, "text": "TODO"}],
    }


def test_a_text_is_searched_as_it_stands_and_not_as_a_pattern(tree: Tree) -> None:
    workspace = Workspace(str(tree({"a.txt": "a.c\nabc\n"})))

    assert [match["line"] for match in search_files(workspace, "a.c")["matches"]] == [1]


def test_a_search_keeps_the_first_matches_and_counts_them_all(tree: Tree) -> None:
    workspace = Workspace(str(tree({"a.txt": "x\n" * (tools.MOST_MATCHES + 7)})))

    answer = search_files(workspace, "x")

    assert len(answer["matches"]) == tools.MOST_MATCHES
    assert answer["match_count"] == tools.MOST_MATCHES + 7
    assert answer["cut"] == f"{tools.MOST_MATCHES} of {tools.MOST_MATCHES + 7} matches are shown"


def test_a_search_says_what_it_did_not_come_to(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "SEARCHED_FILE_BYTES", 4)
    workspace = Workspace(str(tree({"a.txt": "12345678 needle"})))

    answer = search_files(workspace, "needle")

    assert answer["match_count"] == 0
    assert answer["cut"] == "of 1 long files only the start was searched"


def test_there_must_be_something_to_search_for(tree: Tree) -> None:
    with pytest.raises(NotReadable, match="no text"):
        search_files(Workspace(str(tree({}))), "  ")

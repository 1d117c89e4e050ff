"""What agents can reach, and what they cannot."""

import os
import pathlib
from collections.abc import Callable

import pytest

from perdure_executor.agents import workspace as workspaces
from perdure_executor.agents.workspace import NotReadable, Workspace

Tree = Callable[..., pathlib.Path]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../secret.txt", "holds '..'"),
        ("docs/../../secret.txt", "holds '..'"),
        ("docs/../README.md", "holds '..'"),
        ("/etc/passwd", "not a path below the workspace"),
        ("out.txt", "leads out of the workspace"),
        ("outside/secret.txt", "leads out of the workspace"),
        (".git/config", "not for agents"),
        (".GIT/config", "not for agents"),
        ("config", "not for agents"),
        (".perdure/keys", "not for agents"),
        ("missing.md", "does not exist"),
        ("README.md/more", "does not exist"),
        ("circle", "does not exist"),
        ("README\0.md", "does not exist"),
        ("docs", "is a folder"),
        ("pipe", "neither a file nor a folder"),
        ("image.png", "not text"),
    ],
)
def test_a_path_that_is_no_text_file_of_the_workspace_is_refused_and_says_why(
    tree: Tree, tmp_path: pathlib.Path, path: str, reason: str
) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    root = tree({
        "README.md": "read me", "docs/a.md": "a", "image.png": b"\x89PNG\0\0",
        ".git/config": "[core]", ".GIT/config": "[core]", ".perdure/keys": "key",
    })  # fmt: skip
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "outside").symlink_to(tmp_path)
    (root / "config").symlink_to(root / ".git" / "config")
    (root / "circle").symlink_to(root / "circle")
    os.mkfifo(root / "pipe")

    with pytest.raises(NotReadable) as refused:
        Workspace(str(root)).read(path)

    assert reason in str(refused.value)
    assert "secret" not in str(refused.value).replace(repr(path), "")


def test_a_link_that_stays_in_the_workspace_can_be_read(tree: Tree) -> None:
    root = tree({"docs/a.md": "the text"})
    (root / "latest.md").symlink_to("docs/a.md")

    assert Workspace(str(root)).read("latest.md").text == "the text"


def test_text_that_is_not_utf_8_is_read_with_its_faults_marked(tree: Tree) -> None:
    root = tree({"latin.txt": "caf\xe9".encode("latin-1")})

    assert Workspace(str(root)).read("latin.txt").text == "caf\ufffd"


@pytest.mark.parametrize("folder", ["..", "../tree", "/", "sub/..", "link", "README.md", "missing", ".git"])
def test_a_workspace_that_is_no_folder_of_the_executors_own_is_refused(tree: Tree, folder: str) -> None:
    root = tree({"README.md": "", "sub/a": "", ".git/config": ""})
    (root / "link").symlink_to(root.parent)

    with pytest.raises(NotReadable):
        Workspace(str(root), folder)


def test_a_workspace_may_be_named_from_the_executors_own_or_as_a_whole_path(tree: Tree) -> None:
    root = tree({"sub/a.txt": "a"})

    assert Workspace(str(root), "sub").read("a.txt").text == "a"
    assert Workspace(str(root), str(root / "sub")).read("a.txt").text == "a"


def test_a_walk_meets_what_is_near_first_and_names_what_it_passes_over(tree: Tree) -> None:
    root = tree({
        "b.txt": "bb", "a/deep/z.txt": "z", "a/y.txt": "y", "c/x.txt": "x",
        ".git/HEAD": "", "node_modules/m/index.js": "", "a/__pycache__/y.pyc": "",
    })  # fmt: skip
    (root / "link").symlink_to("b.txt")
    os.mkfifo(root / "pipe")

    walked = Workspace(str(root)).walk()

    assert [file.path for file in walked.files] == ["b.txt", "a/y.txt", "c/x.txt", "a/deep/z.txt"]
    assert walked.passed_over == (".git", "link (symbolic link)", "node_modules", "pipe", "a/__pycache__")
    assert not walked.stopped


def test_a_walk_stops_at_its_limit_and_says_so(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspaces, "MOST_ENTRIES", 3)
    root = tree({f"{number}.txt": "" for number in range(5)})

    walked = Workspace(str(root)).walk()

    assert [file.path for file in walked.files] == ["0.txt", "1.txt", "2.txt"]
    assert walked.stopped


def test_a_name_that_is_no_text_does_not_end_a_walk(tree: Tree) -> None:
    root = tree({"a.txt": "a"})
    (root / os.fsdecode(b"caf\xe9.txt")).write_text("b")

    assert [file.path for file in Workspace(str(root)).walk().files] == ["a.txt", "caf\ufffd.txt"]

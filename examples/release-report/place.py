"""Where a showing takes place: the work tree that it is about, and the folder that it writes in."""

import contextlib
import fcntl
import pathlib
import shutil
import subprocess
from collections.abc import Iterator


class Unfit(Exception):
    """The demo cannot begin there; the message says why."""


def check_work_tree(work_tree: pathlib.Path) -> None:
    """Raises Unfit where there is nothing to report on."""
    try:
        asked = ["git", "-C", str(work_tree), "rev-parse", "--show-toplevel", "HEAD"]
        answer = subprocess.run(asked, capture_output=True, text=True)
    except FileNotFoundError:
        raise Unfit("it inspects a git work tree, and there is no git here; install it first") from None
    if answer.returncode:
        said = next(iter(answer.stderr.strip().splitlines()), "nothing")
        raise Unfit(
            f"{work_tree} is not a git work tree with a commit; name one: make demo WORK_TREE=PATH (git says: {said})"
        )


@contextlib.contextmanager
def emptied(folder: pathlib.Path) -> Iterator[None]:
    """The folder, with nothing of an earlier showing in it, for this one alone. Raises Unfit."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / ".lock").exists():
        raise Unfit(f"{folder} has files that no demo wrote, and it would be emptied; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unfit(f"another demo runs in {folder}") from None
        for earlier in folder.iterdir():
            if earlier.is_dir():
                shutil.rmtree(earlier)
            elif earlier.name != ".lock":
                earlier.unlink()
        yield

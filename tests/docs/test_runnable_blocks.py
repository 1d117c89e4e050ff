"""Blocks that a page marks as runnable are run, command by command, against real programs, and say what they show.

A page is one shell in one folder. `file=NAME` on a block writes it there. A `$ ` line is a command; the lines below it
are what it prints, where `...` stands for anything, in a line or for lines. A command that fails must be followed by
`$ echo $?`. Ids and digests differ from run to run: the first time one is printed the page's stands for it from then on.
"""

import contextlib
import os
import pathlib
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

COMMAND_SECONDS = 60.0
LEARNED = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}")
"""Ids and digests."""

NOTICE = re.compile(r"^bash: line \d+: +\d+ (Killed|Terminated)\b.*\n?", re.MULTILINE)
"""What a shell without a terminal says about a process that the page has killed."""

VOLATILE = re.compile(rf"{LEARNED.pattern}|\.\.\.|\d\d:\d\d:\d\dZ|\b\d+(?:\.\d+)?s\b|\s+")


class Differs(AssertionError):
    """A command did not do what its page shows."""


class Shell:
    """One bash for one page."""

    def __init__(self, folder: pathlib.Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        self._mark = f"end-of-command-{os.urandom(8).hex()}"
        self._buffer = ""

    def run(self, command: str) -> tuple[str, int]:
        """What a command printed, on both streams, and its exit code."""
        assert self._process.stdin is not None
        # The command must not read the script; and what comes next must find its exit code.
        script = f"eval {_quoted(command)} < /dev/null\n__code=$?; printf '\\n%s %s\\n' {self._mark} $__code"
        self._process.stdin.write(f"{script}; (exit $__code)\n".encode())
        self._process.stdin.flush()
        return self._read(command)

    def _read(self, command: str) -> tuple[str, int]:
        assert self._process.stdout is not None
        until = time.monotonic() + COMMAND_SECONDS
        end = re.compile(rf"\n?{self._mark} (\d+)\n")
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while (match := end.search(self._buffer)) is None:
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise Differs(
                        f"$ {command}\nit did not end within {COMMAND_SECONDS:g} s; it printed:\n{self._buffer}"
                    )
                piece = os.read(self._process.stdout.fileno(), 1 << 16)
                if not piece:
                    raise Differs(f"$ {command}\nit ended the shell; it printed:\n{self._buffer}")
                self._buffer += piece.decode(errors="replace")
        printed, self._buffer = self._buffer[: match.start()], self._buffer[match.end() :]
        return NOTICE.sub("", printed), int(match[1])

    def close(self) -> None:
        """Ends the shell and everything that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _quoted(command: str) -> str:
    return "'" + command.replace("'", "'\\''") + "'"


def steps(block: Any) -> Iterator[tuple[str, list[str]]]:
    """Each command of a block, with the lines that it is to print. A backslash at a line's end joins the next."""
    command, shown, open_line = "", [], False
    for line in block.text.splitlines():
        if open_line or line.startswith("$ "):
            if not open_line and command:
                yield command, shown
            command, shown = (command + "\n" + line, []) if open_line else (line[2:], [])
            open_line = line.endswith("\\")
        elif command:
            shown.append(line)
        else:
            raise Differs(f"line {block.line}: a runnable block begins with a command")
    if command:
        yield command, shown


class Likeness:
    """Says whether what was printed is what is shown, and learns the ids that stand for those on the page."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def put_in(self, command: str) -> str:
        """The command with real ids in place of the page's."""
        return LEARNED.sub(lambda match: self._real.get(match[0], match[0]), command)

    def check(self, command: str, shown: list[str], printed: str) -> None:
        """Raises Differs where they are not alike. Nothing shown says nothing."""
        lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
        rest = lines
        anything = False
        for wanted in shown:
            if wanted.strip() == "...":
                anything = True
                continue
            place = next((index for index, line in enumerate(rest) if self._fits(wanted, line)), None)
            if place is None or (place > 0 and not anything):
                raise Differs(f"$ {command}\nshown:\n  {wanted}\nprinted:\n" + "\n".join(f"  {line}" for line in lines))
            rest, anything = rest[place + 1 :], False
        if shown and rest and not anything:
            raise Differs(f"$ {command}\nprinted, and not shown:\n" + "\n".join(f"  {line}" for line in rest))

    def _fits(self, wanted: str, line: str) -> bool:
        learned: list[str] = []
        pattern = ""
        position = 0
        for match in VOLATILE.finditer(wanted.strip()):
            pattern += re.escape(wanted.strip()[position : match.start()]) + self._pattern(match[0], learned)
            position = match.end()
        pattern += re.escape(wanted.strip()[position:])
        found = re.fullmatch(pattern, line.strip())
        if found is None:
            return False
        for index, name in enumerate(learned):
            self._real.setdefault(name, found[f"id{index}"])
        return True

    def _pattern(self, volatile: str, learned: list[str]) -> str:
        if volatile == "...":
            return ".*"
        if volatile.isspace():
            return r"\s+"
        if volatile.endswith("Z"):
            return r"\d\d:\d\d:\d\dZ"
        if volatile.endswith("s") and not LEARNED.fullmatch(volatile):
            return r"(?:\d+m)?\d+(?:\.\d+)?s"
        if volatile in self._real:
            return re.escape(self._real[volatile])
        if volatile in learned:
            return f"(?P=id{learned.index(volatile)})"
        learned.append(volatile)
        return f"(?P<id{len(learned) - 1}>{LEARNED.pattern})"


def run_page(page: Any, folder: pathlib.Path, environment: dict[str, str]) -> int:
    """Runs a page's blocks in its order and returns how many commands that were. Raises Differs."""
    shell, likeness, count = Shell(folder, environment), Likeness(), 0
    try:
        for block in page.blocks:
            if block.file is not None:
                (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
                (folder / block.file).write_text(block.text)
            if block.runnable:
                count += _run_block(block, shell, likeness)
    finally:
        shell.close()
    return count


def _run_block(block: Any, shell: Shell, likeness: Likeness) -> int:
    wanted = list(steps(block))
    for index, (command, shown) in enumerate(wanted):
        printed, code = shell.run(likeness.put_in(command))
        asked = index + 1 < len(wanted) and wanted[index + 1][0] == "echo $?"
        if code != 0 and not asked:
            raise Differs(f"$ {command}\nit failed with exit code {code}; it printed:\n{printed}")
        likeness.check(command, shown, printed)
    return len(wanted)


@pytest.fixture
def environment(tmp_path: pathlib.Path) -> dict[str, str]:
    """The programs of this environment, a server's address that is free, and leases short enough to wait for."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    programs = pathlib.Path(sys.executable).parent
    return {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "COLUMNS": "160",
        "PERDURE_SERVER": f"127.0.0.1:{port}",
        "PERDURE_CONTROL_PLANE_PORT": str(port),
        "PERDURE_CONTROL_PLANE_LEASE_SECONDS": "3",
        "PERDURE_CONTROL_PLANE_HEARTBEAT_SECONDS": "0.5",
        "PERDURE_EXECUTOR_SERVER": f"127.0.0.1:{port}",
    }


@pytest.mark.timeout(180)
def test_a_page_does_what_it_says(
    runnable: Any, project: Any, tmp_path: pathlib.Path, environment: dict[str, str]
) -> None:
    (tmp_path / "page").mkdir()
    for name in ("examples", "deploy"):
        if (project.root / name).is_dir():
            (tmp_path / "page" / name).symlink_to(project.root / name)

    assert run_page(runnable, tmp_path / "page", environment) > 0


FAULTS = {
    "a command that fails": "```console runnable\n$ exit_with_three() { return 3; }\n$ exit_with_three\n```",
    "another output": "```console runnable\n$ echo one\ntwo\n```",
    "a line that is not shown": "```console runnable\n$ printf 'one\\ntwo\\n'\none\n```",
    "a line that is not printed": "```console runnable\n$ echo one\none\ntwo\n```",
    "another exit code": "```console runnable\n$ false\n$ echo $?\n0\n```",
    "output before any command": "```console runnable\none\n```",
    "an id that is not the same": (
        "```console runnable\n$ cat /proc/sys/kernel/random/uuid\n11111111-1111-4111-8111-111111111111\n"
        "$ cat /proc/sys/kernel/random/uuid\n11111111-1111-4111-8111-111111111111\n```"
    ),
    "a file that is another": "```yaml file=a.yaml\nx: 1\n```\n\n```console runnable\n$ cat a.yaml\nx: 2\n```",
}


@pytest.mark.parametrize("text", FAULTS.values(), ids=FAULTS.keys())
def test_a_page_that_says_something_else_is_found(page: Any, tmp_path: pathlib.Path, text: str) -> None:
    with pytest.raises(Differs):
        run_page(page(text), tmp_path, dict(os.environ))


ALIKE = {
    "anything in a line, and in lines": "```console runnable\n$ printf 'one\\ntwo\\nthree\\n'\n...\nth...e\n```",
    "a time, a duration, and columns": "```console runnable\n$ echo 12:13:14Z   took 1.5s\n01:02:03Z took 0.01s\n```",
    "an exit code that is asked for": "```console runnable\n$ false\n$ echo $?\n1\n```",
    "an id that is carried over": (
        "```console runnable\n$ cat /proc/sys/kernel/random/uuid | tee id\n11111111-1111-4111-8111-111111111111\n"
        "$ grep 11111111-1111-4111-8111-111111111111 id\n11111111-1111-4111-8111-111111111111\n```"
    ),
    "a long command": "```console runnable\n$ echo one \\\n    two\none two\n```",
    "a file": "```yaml file=b/a.yaml\nx: 1\n```\n\n```console runnable\n$ cat b/a.yaml\nx: 1\n```",
}


@pytest.mark.parametrize("text", ALIKE.values(), ids=ALIKE.keys())
def test_a_page_that_says_what_happens_is_not(page: Any, tmp_path: pathlib.Path, text: str) -> None:
    assert run_page(page(text), tmp_path, dict(os.environ)) > 0


def test_a_block_without_the_mark_is_not_run(page: Any, tmp_path: pathlib.Path) -> None:
    assert run_page(page("```console\n$ touch made\n```"), tmp_path, dict(os.environ)) == 0
    assert not (tmp_path / "made").exists()

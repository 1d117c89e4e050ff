"""The demo, run as it is: its processes are killed in the middle, and it comes to its end all the same."""

import asyncio
import json
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from google.protobuf import json_format

from perdure.v1.fact_events_pb2 import RESOLUTION_KIND_RETRY
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
DEMO = EXAMPLES / "release-report" / "demo.py"

pytestmark = pytest.mark.timeout(180)

RunningBelow = Callable[[pathlib.Path], list[str]]


def work_tree(folder: pathlib.Path, files: dict[str, str]) -> pathlib.Path:
    """A git work tree: a copy of the examples, and some files of its own."""
    folder.mkdir(parents=True)
    shutil.copytree(EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    for name, content in files.items():
        (folder / name).write_text(content)
    committer = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for command in (["init", "--quiet"], ["add", "."], [*committer, "commit", "--quiet", "--message", "All of it"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def command(tree: pathlib.Path) -> list[str]:
    return [sys.executable, "-u", str(DEMO), "--work-tree", str(tree), "--folder", str(written_by(tree))]


def written_by(tree: pathlib.Path) -> pathlib.Path:
    return tree.with_name(f"{tree.name}-demo")


@dataclass
class Shown:
    """One showing that has come to its end."""

    code: int
    screen: str
    """What it has shown, on one line."""
    folder: pathlib.Path

    @property
    def log(self) -> list[RecordedEvent]:
        lines = (self.folder / "run.jsonl").read_text().splitlines()
        return [json_format.Parse(line, RecordedEvent()) for line in lines]

    @property
    def events(self) -> list[RunEvent]:
        return [recorded.event for recorded in self.log]

    @property
    def published(self) -> bytes:
        return (self.folder / "outbox" / "report.md").read_bytes()

    @property
    def approved(self) -> str:
        subject = next(event.wait_subject.canonical_json for event in self.events if event.HasField("wait_subject"))
        report: str = json.loads(subject)["subject"]["report"]
        return report

    @property
    def summary(self) -> str:
        outputs = [event.node_output for event in self.events if event.HasField("node_output")]
        text: str = next(json.loads(one.json)["text"] for one in outputs if one.instance.path[-1].node == "summarise")
        return text

    @property
    def revoked(self) -> list[str]:
        """The leases that were taken from executors that were missed."""
        return [event.lease_revoked.lease_id for event in self.events if event.HasField("lease_revoked")]

    @property
    def holders(self) -> list[str]:
        return [event.lease_granted.executor_id for event in self.events if event.HasField("lease_granted")]

    def leases_of(self, node: str) -> list[str]:
        """The leases under which a node was begun, in order."""
        started = [recorded for recorded in self.log if recorded.event.HasField("node_started")]
        return [one.holder.lease_id for one in started if one.event.node_started.instance.path[-1].node == node]

    def prints_of(self, node: str, lease: str) -> bytes:
        """What a node's command printed under a lease."""
        printed = [recorded for recorded in self.log if recorded.event.HasField("task_output")]
        return b"".join(
            one.event.task_output.content
            for one in printed
            if one.event.task_output.instance.path[-1].node == node and one.holder.lease_id == lease
        )


def showings(*trees: pathlib.Path, **variables: str) -> list[Shown]:
    """Showings, side by side."""
    environment = {**os.environ, "CI": "true", **variables}
    # Whatever a showing starts works below the folder, too, and is found there if it is left behind.
    begun = [
        subprocess.Popen(
            command(tree), cwd=tree.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for tree in trees
    ]
    screens = [process.communicate()[0].decode() for process in begun]
    ended = zip(begun, screens, trees, strict=True)
    return [Shown(process.returncode, " ".join(screen.split()), written_by(tree)) for process, screen, tree in ended]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("showings")


@pytest.fixture(scope="module")
def both(folder: pathlib.Path) -> list[Shown]:
    """Two showings, of work trees that differ."""
    orrery = work_tree(folder / "orrery", {"README.md": "# Orrery\n"})
    other = work_tree(folder / "other", {"planets.json": "{", "todo.txt": "TODO: oil the gears\n"})
    # Whoever watches it may have settings of Perdure for something else, a proxy for the web, and some other python3.
    tools = folder / "tools"
    tools.mkdir()
    (tools / "python3").write_text("#!/bin/sh\necho this is some other Python >&2\nexit 1\n")
    (tools / "python3").chmod(0o755)
    path = os.pathsep.join([str(tools), os.environ["PATH"]])
    theirs = {"PERDURE_CONTROL_PLANE_PORT": "1", "PERDURE_OUTPUT": "none", "http_proxy": "http://127.0.0.1:9"}
    return showings(orrery, other, PATH=path, **theirs)


def test_each_work_tree_gets_a_report_of_its_own(both: list[Shown]) -> None:
    orrery, other = both

    assert (orrery.code, other.code) == (0, 0), orrery.screen + other.screen
    assert "“Orrery”" in orrery.summary
    assert "Orrery" not in other.summary
    assert "todo.txt:1: TODO: oil the gears" in other.summary
    assert "- files: none with a fault" in orrery.approved
    assert "- files: 1 with a fault\n  - planets.json: Expecting" in other.approved


def test_what_is_published_is_what_was_approved_byte_for_byte_with_the_summary_in_it(both: list[Shown]) -> None:
    for showing in both:
        assert showing.published == showing.approved.encode()
        assert showing.summary in showing.approved


def test_a_kill_in_a_check_costs_that_check_alone(both: list[Shown]) -> None:
    for showing in both:
        lost, taken_over = showing.leases_of("check_files")
        assert lost == showing.revoked[0]
        assert taken_over not in showing.revoked[:1]
        assert b"files read" in showing.prints_of("check_files", lost)
        assert len(showing.leases_of("inspect")) == len(showing.leases_of("check_history")) == 1


def test_a_kill_while_publishing_is_settled_by_an_operator_and_nothing_is_done_twice(both: list[Shown]) -> None:
    for showing in both:
        in_doubt, again = showing.leases_of("publish")
        assert showing.revoked[1:] == [in_doubt]
        assert b"part 3 of 8" in showing.prints_of("publish", in_doubt)
        assert b"part 8 of 8" not in showing.prints_of("publish", in_doubt)
        assert b"part 8 of 8" in showing.prints_of("publish", again)
        facts = [event.fact_recorded for event in showing.events if event.HasField("fact_recorded")]
        assert RESOLUTION_KIND_RETRY in [fact.resolution.kind for fact in facts]
        ledger = (showing.folder / "outbox" / "ledger.jsonl").read_text().splitlines()
        assert len({json.loads(line)["key"] for line in ledger}) == len(ledger) == 2


def test_it_shows_the_kills_what_it_decides_the_partial_output_and_the_verdict(both: list[Shown]) -> None:
    for showing in both:
        verdict = json.loads((showing.folder / "verdict.json").read_text())
        assert {rule["verdict"] for rule in verdict["rules"]} == {"ok"}
        assert verdict["violations"] == []
        assert len({holder for holder in showing.holders if f"SIGKILL: {holder}" in showing.screen}) == 2
        partial = showing.screen.partition("What the task had printed until then is kept:")[2]
        assert "part 3 of 8 is out" in partial.partition("runs resolve")[0]
        for said in (
            "decides by itself: approve",
            "decides by itself: retry",
            "The verdict is ok.",
            "report.md is what was approved, byte for byte",
        ):
            assert said in showing.screen


def test_when_it_is_over_nothing_of_it_runs(
    both: list[Shown], folder: pathlib.Path, running_below: RunningBelow
) -> None:
    assert both
    assert running_below(folder) == []


async def stopped(tree: pathlib.Path, number: signal.Signals) -> int:
    """Begins a showing, sends it a signal in the middle of a check, and returns its exit code."""
    process = await asyncio.create_subprocess_exec(*command(tree), cwd=tree.parent, stdout=subprocess.PIPE)
    assert process.stdout is not None
    while b"check_files prints" not in await process.stdout.readline():
        assert not process.stdout.at_eof()
    process.send_signal(number)
    await process.communicate()
    return process.returncode or 0


async def test_however_the_demo_is_stopped_it_leaves_no_process_behind(
    tmp_path: pathlib.Path, nothing_runs_below: Callable[[pathlib.Path], Awaitable[None]]
) -> None:
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
    trees = [work_tree(tmp_path / number.name, {}) for number in signals]

    codes = await asyncio.gather(*map(stopped, trees, signals))

    assert codes == [130, 130, -signal.SIGKILL]
    # After SIGKILL nobody waits for the programs: the system ends them, and their supervisors see that.
    await nothing_runs_below(tmp_path)


async def with_a_terminal(tree: pathlib.Path, *answers: tuple[bytes, bytes]) -> tuple[int, str]:
    """A showing at a terminal, where each question gets its answer once: its exit code, and what was on the screen."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    process = await asyncio.create_subprocess_exec(
        *command(tree), cwd=tree.parent, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    screen = await asyncio.to_thread(_answered, ours, list(answers))
    return await process.wait(), screen


async def test_with_a_terminal_a_person_decides_and_what_is_rejected_is_not_published(tmp_path: pathlib.Path) -> None:
    tree = work_tree(tmp_path / "tree", {})

    code, screen = await with_a_terminal(tree, (b"[approve/reject]", b"perhaps\n"), (b"answer with", b"reject\n"))

    assert code == 0, screen
    assert "Nothing was approved, so nothing was published." in screen
    assert "rejected by anonymous" in screen
    assert not (written_by(tree) / "outbox").exists()
    assert "decides by itself" not in screen


async def test_an_operator_may_say_that_the_publishing_has_failed_and_the_story_comes_to_its_end(
    tmp_path: pathlib.Path,
) -> None:
    tree = work_tree(tmp_path / "tree", {})

    code, screen = await with_a_terminal(tree, (b"[approve/reject]", b"a\n"), (b"[done/retry/failed]", b"failed\n"))

    assert code == 0, screen
    assert "an operator said: failed" in screen
    assert "that were approved." in " ".join(screen.split())


def _answered(terminal: int, answers: list[tuple[bytes, bytes]]) -> str:
    """Gives each answer when its question comes, and returns everything that was on the screen."""
    screen = b""
    while True:
        try:
            screen += os.read(terminal, 65536)
        except OSError:  # whoever wrote there has ended
            os.close(terminal)
            return screen.decode(errors="replace")
        if answers and answers[0][0] in screen:
            os.write(terminal, answers.pop(0)[1])


def test_a_folder_that_is_no_git_work_tree_is_refused_in_one_sentence(tmp_path: pathlib.Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()

    (showing,) = showings(tree)

    assert showing.code == 1
    assert "is not a git work tree with a commit; name one: make demo WORK_TREE=PATH" in " ".join(
        showing.screen.split()
    )
    assert not showing.folder.exists()


def test_a_folder_with_files_that_no_demo_wrote_is_not_emptied(tmp_path: pathlib.Path) -> None:
    tree = work_tree(tmp_path / "tree", {})
    written_by(tree).mkdir()
    (written_by(tree) / "thesis.txt").write_text("the only copy")

    (showing,) = showings(tree)

    assert showing.code == 1
    assert "has files that no demo wrote" in showing.screen
    assert [path.name for path in showing.folder.iterdir()] == ["thesis.txt"]

"""Hold points: what is asked is shown, a decision counts once, and `perdure run` asks whoever sits at a terminal."""

import base64
import contextlib
import os
import pty
import re
import signal
import subprocess
import threading
from typing import Any

import pytest

HOLD = """
playbook_id: gate
version: 1.0.0
title: Gate
objective: Ask somebody
inputs: {type: object, properties: {who: {type: string}}, required: [who]}
nodes:
  - {id: gate, type: approval, prompt: "Let {{ who }} in?", subject: {guest: "{{ who }}", letter: "Hi {{ who }},\\ncome."}}
  - {id: open, type: deterministic, command: echo, args: [open], effect: at_most_once}
"""


@pytest.fixture
def approval(perdure: Any) -> str:
    told = perdure.start(perdure.publish(HOLD), "--input", "who=Ada", "--wait", "-o", "json")
    assert told.code == 9, told
    return str(told.document["primitive_refs"]["approvals"][0])


def test_what_waits_is_listed_and_shown_with_its_subject_and_without_its_token(perdure: Any, approval: str) -> None:
    listed, shown = perdure("approvals", "list"), perdure("approvals", "show", approval)

    assert approval.removeprefix("approvals/") in listed.out
    assert "Let Ada in?" in shown.out
    subject = shown.out.partition("\nit is about:\n")[2]
    assert subject.splitlines()[:7] == [
        "  guest: Ada",
        "  letter:",
        "    Hi Ada,",
        "    come.",
        "  effects that follow:",
        "    -",
        "      effect: at_most_once",
    ]
    assert "node: open" in subject
    assert shown.out.count("Let Ada in?") == 1
    assert '"subject":' in base64.b64decode(perdure.done("approvals", "show", approval)["subject"]).decode()
    token = perdure.done("approvals", "show", approval)["token"]
    assert token not in listed.out + shown.out
    assert "look at what waits for you: perdure approvals list" in perdure("status").err


def test_nothing_is_approved_where_nobody_can_be_asked(perdure: Any, approval: str) -> None:
    told = perdure("approvals", "approve", approval)

    assert told.code == 2
    assert "Let Ada in?" in told.err
    assert "add --yes to do it" in told.err
    assert perdure.done("approvals", "show", approval)["state"] == "STATE_OPEN"


def test_a_decision_counts_once(perdure: Any, approval: str) -> None:
    first = perdure("approvals", "approve", approval, "--yes", "--reason", "a friend")
    again = perdure("approvals", "approve", approval, "--yes")
    other = perdure("approvals", "reject", approval, "--reason", "a stranger", "--yes")

    assert (first.code, again.code, other.code) == (0, 0, 5)
    assert first.out == f"{approval} approved by anonymous\n"
    assert "follow what comes of it: perdure flows watch" in first.err
    assert "it was decided so already" in again.err
    assert "is decided, approved by anonymous" in other.err
    assert "Next:  perdure approvals show" in other.err
    assert perdure.done("approvals", "show", approval)["reason"] == "a friend"


CHOICE = HOLD.replace("gate", "chosen").replace("type: approval,", "type: approval, kind: select, options: [one, two],")
CONTENT = HOLD.replace("gate", "filled").replace("type: approval,", "type: approval, kind: input,")


@pytest.mark.parametrize(
    ("playbook", "first", "other"),
    [
        (CHOICE, ("--select", "one"), ("--select", "two")),
        (CONTENT, ("--provide", '{"n": 3}'), ("--provide", '{"n": 4}')),
    ],
)
def test_what_was_decided_otherwise_was_not_decided_so(
    perdure: Any, playbook: str, first: tuple[str, str], other: tuple[str, str]
) -> None:
    started = perdure.start(perdure.publish(playbook), "--input", "who=Ada", "--wait", "-o", "json")
    (asked,) = started.document["primitive_refs"]["approvals"]
    perdure.done("approvals", "decide", asked, *first, "--yes")

    same = perdure("approvals", "decide", asked, *first, "--yes")
    different = perdure("approvals", "decide", asked, *other, "--yes")

    assert (same.code, different.code) == (0, 5)
    assert "it was decided so already" in same.err
    assert "(APPROVAL_DECIDED)" in different.err


def test_of_several_each_is_decided_by_itself_whatever_becomes_of_the_others(perdure: Any, approval: str) -> None:
    told = perdure("approvals", "decide", approval, "nobody-asked-this", "--approve", "--yes", "-o", "json")

    refused = [result.get("refusal", {}).get("reason", "") for result in told.document["results"]]
    assert (told.code, refused) == (1, ["", "NOT_FOUND"])
    assert perdure.done("approvals", "show", approval)["state"] == "STATE_DECIDED"


def test_a_rejection_needs_a_reason_and_fails_the_run(perdure: Any, approval: str) -> None:
    assert "--reason" in perdure("approvals", "reject", approval).err

    decided = perdure.done("approvals", "reject", approval, "--reason", "too late")

    assert decided["decision"] == "DECISION_KIND_REJECTED"
    told = perdure("flows", "watch", decided["flow"])
    assert told.code == 8
    assert "gate:1#1 rejected by anonymous: too late" in told.err
    assert approval in [each["name"] for each in perdure("approvals", "list", "--state", "decided", "-o", "json").lines]


EACH = """
playbook_id: each
version: 1.0.0
title: Each
objective: Ask somebody about each
inputs: {type: object, properties: {of: {type: array}}, required: [of]}
nodes:
  - {id: each, type: map, items: inputs.of, node: {type: approval, prompt: "Let {{ item }} in?"}}
"""


def test_requests_of_one_node_are_decided_all_together_or_none_of_them(perdure: Any) -> None:
    told = perdure.start(perdure.publish(EACH), "--input", 'of=["Ada","Bob","Cy"]', "--wait", "-o", "json")
    assert perdure("flows", "watch", told.document["name"], "--until", "held").code == 9  # it has asked about all
    flow = ["--flow-id", told.document["name"]]
    names = [each["name"] for each in perdure("approvals", "list", *flow, "-o", "json").lines]
    strange = perdure.start(perdure.publish(HOLD), "--input", "who=Dan", "--wait", "-o", "json")
    (other,) = strange.document["primitive_refs"]["approvals"]

    mixed = perdure("approvals", "decide", *names, other, "--approve", "--atomic", "--yes")
    open_still = [perdure.done("approvals", "show", name)["state"] for name in names]
    together = perdure("approvals", "decide", *names, "--approve", "--atomic", "--yes", "-o", "json")
    again = perdure("approvals", "decide", *names, other, "--approve", "--atomic", "--yes")

    assert (told.code, len(names)) == (9, 3)
    assert mixed.code == 2
    assert "of one node of one run" in mixed.err
    assert open_still == ["STATE_OPEN"] * 3
    assert together.code == 0
    assert [result["approval"]["state"] for result in together.document["results"]] == ["STATE_DECIDED"] * 3
    assert again.code == 2
    assert "some are decided already" in again.err
    assert perdure.done("approvals", "show", other)["state"] == "STATE_OPEN"
    assert perdure("flows", "watch", told.document["name"]).code == 0


class Terminal:
    """A command at a terminal, with somebody who reads and types."""

    def __init__(self, perdure: Any, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        command = perdure.command(arguments)
        environment = perdure.environment() | {"TERM": "xterm", "NO_COLOR": "1"}
        streams: Any = {"stdin": theirs, "stdout": subprocess.PIPE, "stderr": theirs}
        self.process = subprocess.Popen(command, env=environment, text=True, start_new_session=True, **streams)
        os.close(theirs)
        self.seen = ""
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                text = os.read(self._ours, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                return
            with self._news:
                self.seen += text
                self._news.notify_all()

    def wait_for(self, question: str) -> None:
        """Returns when a question stands there."""
        with self._news:
            assert self._news.wait_for(lambda: self.seen.rstrip(" ").endswith(question), 30), self.seen

    def answer(self, question: str, text: str) -> None:
        """Types when a question stands there."""
        self.wait_for(question)
        self.seen += "\n"
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        """Presses Ctrl-C until it is heard: Python hears none between its last look at signals and the reading of a line."""
        while self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=5)

    def end(self) -> tuple[int, str]:
        """Waits for the end; the exit code, and standard output."""
        out, _ = self.process.communicate(timeout=30)
        self._reader.join()
        os.close(self._ours)
        return self.process.returncode, out


@pytest.fixture
def manifest(perdure: Any) -> str:
    file = perdure.server.directory / "gate.yaml"
    file.write_text(HOLD.replace("gate", "trial"))
    return str(file)


QUESTION = "What do you decide? (approve, reject, later):"


def test_a_trial_at_a_terminal_asks_and_goes_on(perdure: Any, manifest: str) -> None:
    terminal = Terminal(perdure, "run", manifest, "--input", "who=Ada", "-o", "json")

    terminal.answer(QUESTION, "maybe\n")
    terminal.answer(QUESTION, "approve\n")
    code, out = terminal.end()

    assert (code, '"STATUS_SUCCEEDED"' in out) == (0, True)
    assert "Let Ada in?" in terminal.seen
    assert "node: open" in terminal.seen
    assert "say one of: approve, reject, later" in terminal.seen


def test_a_trial_at_a_terminal_shows_how_far_it_is_and_what_is_to_come(perdure: Any, manifest: str) -> None:
    terminal = Terminal(perdure, "run", manifest, "--input", "who=Ada", "-o", "json")

    terminal.answer(QUESTION, "approve\n")
    terminal.end()

    before, _, after = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", terminal.seen).partition(QUESTION)
    assert "0 of 2 nodes done" in before
    assert "⏸ trial" in before
    assert "○ open" in before
    last = after.rpartition("✔ flow")[2]
    assert "✔ trial" in last
    assert "✔ open" in last
    assert "○" not in last
    assert "nodes done" not in last


def test_a_trial_can_be_rejected_with_a_reason(perdure: Any, manifest: str) -> None:
    terminal = Terminal(perdure, "run", manifest, "--input", "who=Ada", "-o", "json")

    terminal.answer(QUESTION, "rej\n")
    terminal.answer("Why?:", "not today\n")
    code, out = terminal.end()

    assert (code, '"STATUS_FAILED"' in out) == (8, True)
    assert "not today" in terminal.seen


def test_what_cannot_be_read_is_asked_for_again(perdure: Any) -> None:
    file = perdure.server.directory / "input.yaml"
    file.write_text(HOLD.replace("gate", "given").replace("type: approval,", "type: approval, kind: input,"))
    terminal = Terminal(perdure, "run", str(file), "--input", "who=Ada", "-o", "json")

    terminal.answer("What do you decide? (reject, provide, later):", "provide\n")
    terminal.answer("What? JSON, @FILE, or text:", "@nowhere.json\n")
    terminal.answer("What? JSON, @FILE, or text:", "a key\n")
    code, out = terminal.end()

    assert (code, '"STATUS_SUCCEEDED"' in out) == (0, True)
    assert "once more" in terminal.seen
    assert terminal.seen.count("What? JSON, @FILE, or text:") == 2


def test_a_decision_can_be_left_for_later(perdure: Any, manifest: str) -> None:
    terminal = Terminal(perdure, "run", manifest, "--input", "who=Ada", "-o", "json")

    terminal.answer(QUESTION, "later\n")

    assert terminal.end()[0] == 9


def asked_too_late(perdure: Any, playbook_id: str) -> tuple["Terminal", str]:
    """A terminal at which somebody is asked for a decision whose time is over, and the run's name."""
    file = perdure.server.directory / f"{playbook_id}.yaml"
    file.write_text(HOLD.replace("gate", playbook_id).replace("type: approval,", "type: approval, timeout_seconds: 2,"))
    terminal = Terminal(perdure, "run", str(file), "--input", "who=Ada")
    terminal.wait_for(QUESTION)
    run = perdure("runs", "list", "--playbook-id", playbook_id, "-o", "json").lines[0]["name"]
    assert perdure("runs", "watch", run).code == 8
    return terminal, run


def test_what_became_of_it_while_somebody_thought_is_what_counts(perdure: Any) -> None:
    terminal, _ = asked_too_late(perdure, "hasty")

    terminal.answer(QUESTION, "later\n")
    code, out = terminal.end()

    assert code == 8
    assert out.splitlines()[1].split()[1] in ("failed", "expired")


def test_an_approval_that_expired_leads_to_its_run_and_says_how_long_ago_that_was(perdure: Any) -> None:
    hasty = HOLD.replace("gate", "brief").replace("type: approval,", "type: approval, timeout_seconds: 1,")
    flow = perdure.done("flows", "get", _started(perdure, hasty)["name"])
    assert perdure("flows", "watch", flow["name"]).code == 8

    told = perdure("approvals", "approve", flow["primitive_refs"]["approvals"][0], "--yes")
    listed = perdure("approvals", "list", "--state", "expired", "--flow-id", flow["name"])

    assert told.code == 5
    assert "(APPROVAL_CLOSED)" in told.err
    assert f"perdure runs recovery {flow['root_run'].removeprefix('runs/')}" in told.err
    assert re.search(r" \d+s ago$", listed.out.rstrip())


def test_a_decision_that_comes_too_late_at_a_terminal_leads_to_its_run(perdure: Any) -> None:
    terminal, run = asked_too_late(perdure, "late")

    terminal.answer(QUESTION, "approve\n")

    assert terminal.end()[0] == 5
    assert "is expired (APPROVAL_CLOSED)" in terminal.seen
    assert f"perdure runs recovery {run.removeprefix('runs/')}" in terminal.seen


def _started(perdure: Any, manifest: str) -> Any:
    told = perdure.start(perdure.publish(manifest), "--input", "who=Ada", "--wait", "-o", "json")
    assert told.code == 9, told
    return told.document


def test_cancelling_asks_at_a_terminal_and_nowhere_else(perdure: Any, approval: str) -> None:
    shown = perdure.done("approvals", "show", approval)
    asked = [
        ("runs", "cancel", shown["run"]),
        ("runs", "interrupt", shown["run"]),
        ("flows", "cancel", shown["flow"]),
        ("approvals", "reject", approval, "--reason", "no"),
    ]

    for command in asked:
        terminal = Terminal(perdure, *command)
        terminal.answer("[y/N]:", "n\n")
        assert terminal.end()[0] == 1
        assert "nothing was done" in terminal.seen
    assert perdure.done("runs", "get", shown["run"])["state"] == "RUN_STATE_PAUSED"

    terminal = Terminal(perdure, "playbooks", "revoke", "gate", "--version", "1.0.0", "--digest", "0", "--reason", "no")
    terminal.answer("Revoke playbooks/gate/versions/1.0.0 for good? [y/N]:", "n\n")
    assert terminal.end()[0] == 1

    for command in (*asked[1:3], asked[0]):
        assert perdure(*command, "--yes").code in (0, 5)
    assert perdure.done("runs", "get", shown["run"])["state"] == "RUN_STATE_CANCELLED"


def test_ctrl_c_at_the_question_decides_nothing_and_says_how_to(perdure: Any, manifest: str) -> None:
    terminal = Terminal(perdure, "run", manifest, "--input", "who=Ada")

    terminal.wait_for(QUESTION)
    terminal.interrupt()
    code, _ = terminal.end()

    assert code == 130
    assert "nothing was done" in terminal.seen
    assert "Next:  perdure approvals approve" in terminal.seen


def test_a_trial_without_a_terminal_ends_at_the_hold_point_and_says_how_to_decide(perdure: Any, manifest: str) -> None:
    told = perdure("run", manifest, "--input", "who=Ada")

    assert told.code == 9
    assert "waits for a decision: perdure approvals approve" in told.err
    version = perdure.done("playbooks", "get", "trial", "--version", "1.0.0")
    assert version["publication"] == "PUBLICATION_VERIFIED"
    assert [each["kind"] for each in version["evidence"]] == ["trial"]

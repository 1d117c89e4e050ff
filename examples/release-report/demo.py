"""Runs the playbook beside this file the hard way: with two executors, both of which are killed in the middle of it.

It uses what anybody can use: the programs, the command line `perdure`, and the client `perdure.client`. Read `_story`
from its top; everything else is in the order in which it is called.
"""

import argparse
import asyncio
import json
import pathlib
import signal
import sys
import time
import uuid
from typing import Final

from history import History
from outcome import LEDGER, evidence, others_than_ok, published_report, report_line
from place import Unfit, check_work_tree, emptied
from programs import BIN, HERE, ProgramFailed, Programs, near, shown
from terminal import Terminal

from perdure.client import CallFailed, Client
from perdure.v1.approvals_pb2 import GetApprovalRequest
from perdure.v1.flows_pb2 import Flow, FlowRequest, GetFlowRequest, StartFlowRequest
from perdure.v1.playbooks_pb2 import (
    CreatePlaybookVersionRequest,
    Evidence,
    PlaybookDocument,
    PublishPlaybookVersionRequest,
)
from perdure.v1.run_events_pb2 import RunEvent
from perdure.v1.run_recovery_pb2 import EffectInDoubt
from perdure.v1.runs_pb2 import GetRecoveryRequest
from perdure.v1.sessions_pb2 import CreateSessionRequest

ROOT: Final = HERE.parents[1]
SESSION: Final = "demo"
LOG: Final = "run.jsonl"
VERDICT: Final = "verdict.json"
SECONDS: Final = 3
"""What the check and the publishing take at least, so that there is time to kill somebody."""


def main() -> int:
    """The program: its exit code is 0 where the story came to its end and the checker found nothing wrong."""
    parser = argparse.ArgumentParser(description="Shows what becomes of a run whose executors are killed.")
    parser.add_argument("--work-tree", type=pathlib.Path, default=ROOT, help="the git work tree to report on")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build/demo", help="where everything is written")
    chosen = parser.parse_args()
    demo = Demo(chosen.work_tree.resolve(), chosen.folder.resolve())
    try:
        return asyncio.run(demo.run())
    except (asyncio.CancelledError, KeyboardInterrupt):
        demo.terminal.stopped("Stopped. Nothing of the demo runs any more.")
        return 130
    except (Unfit, ProgramFailed, CallFailed) as error:
        demo.terminal.loud(f"The demo cannot go on: {error}")
        return 1


class Demo:
    """One showing."""

    def __init__(self, work_tree: pathlib.Path, folder: pathlib.Path) -> None:
        self.terminal = Terminal()
        self._work_tree = work_tree
        self._folder = folder
        self._outbox = folder / "outbox"
        self._programs = Programs(folder, work_tree)

    async def run(self) -> int:
        """Shows it all, and leaves nothing running."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, _cancel, asyncio.current_task())
        self._introduce()
        with emptied(self._folder):
            async with self._programs:
                return await self._story()

    def _introduce(self) -> None:
        check_work_tree(self._work_tree)
        self.terminal.say(
            "Perdure runs playbooks: reviewed procedures, done by agents, commands, functions and people. This one "
            "inspects and checks a git work tree, has an agent summarise it, waits for a decision, and then publishes "
            "exactly what was approved. On the way, both executors that do the work are killed."
        )
        self.terminal.say(
            f"The work tree is {self._work_tree}, and nothing in it is changed. Whatever the demo writes is in "
            f"{near(self._folder)}. It takes about a minute."
        )
        if not self.terminal.asks:
            self.terminal.say("There is no terminal here (or CI is set), so the demo decides by itself and says so.")

    async def _story(self) -> int:
        self.terminal.part("A control plane and two executors start, each a process of its own")
        await self._programs.start_control_plane()
        for name in ("executor-1", "executor-2"):
            await self._programs.start_executor(name)
        self.terminal.say("While the demo runs, look around from another terminal:")
        self.terminal.command(f"{near(BIN / 'perdure')} --server {self._programs.address} status")
        async with Client(self._programs.address) as client:
            flow = await self._start(client)
            history = History(client.watch_run(flow.root_run), self.terminal.say)
            await self._lose_an_executor_in_a_check(history)
            approved = await self._decide(client, history)
            said = ""
            if approved is not None:
                said = await self._lose_an_executor_while_publishing(client, flow, history, approved)
            return await self._close(client, flow, history, approved, said)

    async def _start(self, client: Client) -> Flow:
        self.terminal.part("The playbook is stored, published with evidence, and started")
        document = PlaybookDocument(text=(HERE / "playbook.yaml").read_bytes())
        version = await client.playbooks.CreatePlaybookVersion(CreatePlaybookVersionRequest(document=document))
        evidence = Evidence(kind="trial", id="demo", description="published by the demo, for the demo")
        await client.playbooks.PublishPlaybookVersion(
            PublishPlaybookVersionRequest(name=version.name, digest=version.digest, evidence=[evidence])
        )
        session = await client.sessions.CreateSession(CreateSessionRequest(session_id=SESSION))
        inputs = {"programs": str(HERE), "outbox": str(self._outbox), "seconds": SECONDS}
        wanted = StartFlowRequest(
            playbook_version=version.name,
            digest=version.digest,
            session=session.name,
            idempotency_key=str(uuid.uuid4()),
            request=FlowRequest(input=json.dumps(inputs).encode()),
        )
        flow = await client.flows.StartFlow(wanted)
        self.terminal.say(
            f"{version.name} has the digest {version.digest[:16]}…, and what starts is what was reviewed."
        )
        self.terminal.say(f"{flow.name} has started, and {flow.root_run} is its run.")
        return flow

    async def _lose_an_executor_in_a_check(self, history: History) -> None:
        self.terminal.part("It runs, and an executor is killed in the middle of a check")
        if await history.until(lambda event: _prints(event, "check_files", b"files read")) is None:
            return
        self._kill(history.holder)
        self.terminal.say(
            "A check changes nothing (its effect is `none`), so whoever takes the run up does it again. What was done "
            "before it stands in the log, and is not done again."
        )

    def _kill(self, name: str) -> None:
        self._programs.kill(name)
        self.terminal.loud(f"SIGKILL: {name} is gone. It could say nothing and save nothing.")

    async def _decide(self, client: Client, history: History) -> str | None:
        """The report that was approved; None where it was not."""
        opened = await history.until(lambda event: event.HasField("wait_opened"))
        if opened is None:
            return None
        self.terminal.part("The hold point: nothing is published until a person says so")
        approval_id = opened.wait_opened.approval.approval_id
        approval = await client.approvals.GetApproval(GetApprovalRequest(name=f"approvals/{approval_id}"))
        report: str = json.loads(approval.subject)["subject"]["report"]
        self.terminal.say("This is the report. The decision binds to it, byte for byte:")
        self.terminal.quote(report)
        because = "A person would have read it first."
        self.terminal.say("Approve, and it is published as it is. Reject, and the run ends with nothing published.")
        answer = await self.terminal.choose(approval.prompt, ("approve", "reject"), "approve", because)
        sure = ["--yes"] if answer == "approve" else []
        await self._command("approvals", answer, approval_id, "--reason", "decided in the demo", *sure)
        return report if answer == "approve" else None

    async def _lose_an_executor_while_publishing(
        self, client: Client, flow: Flow, history: History, approved: str
    ) -> str:
        """What an operator said of the publishing; empty where nobody was asked."""
        self.terminal.part("The other executor is killed while it publishes")
        if await history.until(lambda event: _prints(event, "publish", b"part 3")) is None:
            return ""
        self._kill(history.holder)
        self.terminal.say(
            "Publishing is `at_most_once`: whoever reads the outbox sees it at once. Nobody knows how far it came, so it "
            "is not repeated by itself: the run is held until somebody says what became of it."
        )
        await history.until(lambda event: event.HasField("lease_revoked"))
        found = await client.runs.GetRecovery(GetRecoveryRequest(name=flow.root_run))
        doubt, run = found.in_doubt[0], flow.root_run.removeprefix("runs/")
        await self._command("runs", "recovery", run)
        self.terminal.say("What the task had printed until then is kept:")
        await self._command("tasks", "output", SESSION, doubt.task.rpartition("/")[2], "--full")
        answer = await self._choose_resolution(approved.encode())
        if answer != "done":
            await self._until_it_is_surely_over(doubt)
        reason = ("--reason", "looked into the outbox", "--yes")
        if not await self._command("runs", "resolve", run, doubt.instance, "--as", answer, *reason):
            raise ProgramFailed("the answer was not taken, so the run stays held")
        self.terminal.say("No executor is left, so a third one starts and takes the run up where it stands.")
        await self._programs.start_executor("executor-3")
        return answer

    async def _until_it_is_surely_over(self, doubt: EffectInDoubt) -> None:
        self.terminal.say("An executor that is cut off may still be at it, so its work is given the time to end first.")
        await asyncio.sleep(max(0.0, doubt.retry_time.ToMicroseconds() / 1e6 - time.time()))

    async def _choose_resolution(self, approved: bytes) -> str:
        published = published_report(self._outbox)
        self.terminal.say(
            f"The outbox has {len(published)} of the report's {len(approved)} bytes. An operator can say that it is done, "
            "that it shall be done again as a new effect (retry), or that it has failed."
        )
        by_itself, because = ("done", "It is all there.") if published == approved else ("retry", "It is not whole.")
        question = "What is to become of the publishing?"
        return await self.terminal.choose(question, ("done", "retry", "failed"), by_itself, because)

    async def _close(self, client: Client, flow: Flow, history: History, approved: str | None, said: str) -> int:
        await history.until(lambda event: False)
        flow = await client.flows.GetFlow(GetFlowRequest(name=flow.name))
        self.terminal.part("What happened, as the run's log tells it")
        self.terminal.show(history.tree(flow))
        self.terminal.show(history.timeline())
        self.terminal.part("The evidence that the playbook asks for")
        self.terminal.show(evidence(flow))
        sound = await self._verify(flow, approved)
        self.terminal.part("The report")
        # Whoever says that it is done, or has failed, has seen how much of it there is.
        whole = approved is None or said in ("done", "failed") or published_report(self._outbox) == approved.encode()
        self.terminal.say(report_line(self._outbox, approved))
        return 0 if sound and whole else 1

    async def _verify(self, flow: Flow, approved: str | None) -> bool:
        self.terminal.part("The checker's verdict")
        self.terminal.say(
            "The checker walks the plan again over the log, looks whether every table of the store is what the log gives, "
            "and hears two witnesses: what the executors were told is stored, and the outbox's own ledger of every "
            "publishing that was begun."
        )
        witnesses = [part for name in self._programs.executors for part in ("--acks", near(self._programs.log(name)))]
        witnesses += ["--launches", near(self._outbox / LEDGER)] if approved is not None else []
        arguments = ("check", *self._programs.store, *witnesses)
        sound = await self._command(*arguments, program="perdure-server")
        others = others_than_ok(await self._keep(VERDICT, *arguments, "-o", "json", program="perdure-server"))
        await self._keep(LOG, "runs", "events", flow.root_run, "-o", "json")
        self.terminal.say(f"The verdict is ok{f', but for {others}' if others else ''}.")
        self.terminal.say(f"It is in {near(self._folder / VERDICT)}, and the whole log in {near(self._folder / LOG)}.")
        # Without a publishing there is no ledger either, and nothing to compare.
        return sound and (approved is None or not others)

    async def _keep(self, file: str, *arguments: str, program: str = "perdure") -> str:
        """Keeps what a command prints in a file of the demo's folder."""
        printed = await self._programs.perdure(*arguments, program=program)
        (self._folder / file).write_text(printed.output)
        return printed.output

    async def _command(self, *arguments: str, program: str = "perdure") -> bool:
        """Runs a command, and shows it with its output. True where it has succeeded."""
        printed = await self._programs.perdure(*arguments, program=program)
        self.terminal.command(shown(arguments, program), printed.output)
        return printed.code == 0


def _prints(event: RunEvent, node: str, text: bytes) -> bool:
    printed = event.task_output
    return bool(printed.instance.path) and printed.instance.path[-1].node == node and text in printed.content


def _cancel(task: "asyncio.Task[int] | None") -> None:
    if task is not None:
        task.cancel()


if __name__ == "__main__":
    sys.exit(main())

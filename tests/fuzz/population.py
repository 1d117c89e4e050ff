"""What a server has before it is asked anything odd, and the requests that were, or would be, right."""

import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from perdure.runlog.digests import NO_EVENTS, next_digest
from perdure.v1 import (
    approvals_pb2,
    audit_pb2,
    decisions_pb2,
    flows_pb2,
    playbooks_pb2,
    run_events_pb2,
    runs_pb2,
    schedules_pb2,
)
from perdure.v1.exports_pb2 import ExportedEnd, ExportedPlan, ExportedRun, ExportRecord
from tests.fuzz.calls import METHODS, Line
from tests.fuzz.messages import Words
from tests.fuzz.playbooks import SAMPLES, manifest
from tests.fuzz.servers import ROLES, claims, signed
from tests.fuzz.working import QUEUE, Player

PATIENCE_SECONDS: Final = 60.0
TWICE: Final = ("signal", "approve", "review", "input", "select", "asks-many")
"""Of these several are started, so that some are still open when others were decided."""
_STATUS: Final = flows_pb2.Flow.Status
_APPROVED: Final = decisions_pb2.DECISION_KIND_APPROVED


@dataclass(frozen=True, slots=True)
class Cursor:
    """A token for a next page, and the request that it goes on with."""

    path: str
    request: Any
    field: str = "page_token"

    @property
    def token(self) -> str:
        """The token itself."""
        return str(getattr(self.request, self.field))


@dataclass
class Population:
    """Of one portion: names, tokens and requests. In the same order whenever the portion is played."""

    line: Line
    suffix: str
    words: Words = field(default_factory=Words)
    requests: "defaultdict[str, list[Message]]" = field(default_factory=lambda: defaultdict(list))
    """Requests that are right, by the path of their call."""
    approvals: "list[approvals_pb2.Approval]" = field(default_factory=list)
    """Open ones, each with its token."""
    cursors: list[Cursor] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict, repr=False)
    """A key's text for each role, and of one that is revoked."""
    events: "dict[str, list[run_events_pb2.RunEvent]]" = field(default_factory=dict)
    """What holders have reported of runs, by the sample."""
    exported: "list[list[ExportRecord]]" = field(default_factory=list)
    """For each run what an export holds of it."""
    audited: "list[audit_pb2.ExportAuditEventsResponse]" = field(default_factory=list)
    """An export of the audit trail: the first of its server, since trails grow long."""
    flows: "dict[str, flows_pb2.Flow]" = field(default_factory=dict)
    versions: "dict[str, playbooks_pb2.PlaybookVersion]" = field(default_factory=dict)

    @property
    def queue(self) -> str:
        """Whose runs are for executors that are played, and for nobody else's of another portion."""
        return f"{QUEUE}{self.suffix}"

    def people(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """Who may call: the one who starts things, and the one who decides them."""
        return {
            role: ((("authorization", f"Bearer {signed(claims(f'the-{role}', role))}"),))
            for role in ("admin", "reviewer")
        }

    def do(self, call: str, /, *, by: str = "admin", **fields: Any) -> Any:
        """Makes a call that is right, and keeps it. Raises RuntimeError where it is refused."""
        path = path_of(call)
        method = METHODS[path]
        request = GetMessageClass(method.input_type)(**fields)
        answer = self.line.ask(path, [request.SerializeToString()], self._people[by])
        if answer.fault or not answer.messages:
            raise RuntimeError(f"{call} was not answered: {answer.word} {answer.fault} to {request}")
        self.offer(call, request)
        answers = [GetMessageClass(method.output_type).FromString(message) for message in answer.messages]
        for message in answers:
            self.words.learn(message)
        return answers if method.server_streaming else answers[0]

    def offer(self, name: str, request: Message) -> None:
        """Keeps a request that would be right."""
        self.words.learn(request)
        self.requests[path_of(name)].append(request)

    def __post_init__(self) -> None:
        self._people: Final = self.people()


def path_of(name: str) -> str:
    """The path of the one call of a name."""
    (path,) = [path for path, method in METHODS.items() if method.name == name]
    return path


def populate(population: Population, player: Player) -> None:
    """Fills a server. What one portion has left does not stand in the way of the next."""
    do, suffix = population.do, population.suffix
    _make_way(population)
    session = do("CreateSession", session_id=f"s{suffix}").name
    for name in SAMPLES:
        _store(population, name, manifest(name, suffix))
    starts = [(name, count) for name in SAMPLES for count in range(1 + 2 * (name in TWICE))]
    started = {(name, count): _start(population, name, count, session) for name, count in starts}
    player.leave_in_doubt(started["doubt", 0].root_run, f"player{suffix}", population.queue)
    _await(population, {started[one].name: SAMPLES[one[0]].ends_as for one in starts})
    _do_the_rest(population, started, session)
    _take_in(population, started)
    _offer(population, started, session)


def _make_way(population: Population) -> None:
    """Undoes what bent requests may have set for all: limits, policies, schedules that fire."""
    do = population.do
    do(
        "UpdatePolicy",
        block_warnings=False,
        blocked_warnings={},
        require_review=False,
        require_approval=False,
        reason="begin",
    )
    do("UpdateQueue", name="queues/default", max_runs_at_work=0, rate={}, max_queued_runs=0, reason="begin")
    for schedule in do("ListSchedules", page_size=500).schedules:
        do("DeleteSchedule", name=schedule.name)
    population.requests.clear()


def _store(population: Population, name: str, document: dict[str, Any]) -> None:
    text = json.dumps(document).encode()
    population.do("ValidatePlaybook", document={"text": text})
    created = population.do("CreatePlaybookVersion", document={"text": text}, request_id=f"c-{name}{population.suffix}")
    named = {
        "name": created.name,
        "digest": created.digest,
        "evidence": [{"kind": "review", "id": "all", "description": "seen"}],
    }
    population.versions[name] = population.do("PublishPlaybookVersion", **named)


def _start(population: Population, name: str, count: int, session: str) -> flows_pb2.Flow:
    version = population.versions[name]
    request = {"input": b'{"n": 3}', "content": "please", "metadata": {"ticket": "T-1", "more": {"levels": [1, 2]}}}
    return population.do(
        "StartFlow",
        playbook_version=version.name,
        digest=version.digest,
        session=session,
        idempotency_key=f"{name}-{count}{population.suffix}",
        flow_id=f"{name}-{count}{population.suffix}",
        request={**request, "source": {"source_plugin": "chat", "source_kind": "message", "actor_id": "ada"}},
        queue=population.queue if SAMPLES[name].queue == QUEUE else SAMPLES[name].queue,
        priority=count,
        timeout={"seconds": 100_000},
    )


def _await(population: Population, expected: dict[str, str]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while expected:
        for name, status in list(expected.items()):
            flow = population.do("GetFlow", name=name)
            if flow.status == _STATUS.Value(f"STATUS_{status}"):
                del expected[name]
            elif time.monotonic() > until:
                raise RuntimeError(f"{name} did not become {status}: {flow}")
        time.sleep(0.02)


def _do_the_rest(population: Population, started: dict[tuple[str, int], Any], session: str) -> None:
    """Every other call, once and right."""
    do, suffix = population.do, population.suffix
    do(
        "ConvertPlaybook",
        document={"text": b'version: "1.0"\nname: a\nnodes:\n  - {id: a, type: deterministic, command: "true"}'},
    )
    done, approve = population.versions["done"], population.versions["approve"]
    start = {
        "playbook_version": done.name,
        "digest": done.digest,
        "session": session,
        "request": {"input": b'{"n": 1}'},
    }
    for name, times in (("cron", {"cron": "0 3 * * 1"}), ("interval", {"interval": {"seconds": 86_400}})):
        schedule = {"start": start, **times, "overlap": "OVERLAP_POLICY_SKIP", "misfire": "MISFIRE_POLICY_RUN_ONCE"}
        made = do("CreateSchedule", schedule_id=f"{name}{suffix}", schedule=schedule)
        for call in ("GetSchedule", "PauseSchedule", "ResumeSchedule", "TriggerSchedule"):
            do(call, name=made.name)
    do("ListFirings", schedule=made.name)
    for role in (*ROLES, "revoked"):
        made = do("CreateKey", key=f"{role}{suffix}", role=f"ROLE_{'VIEWER' if role == 'revoked' else role.upper()}")
        population.keys[role] = made.text
    do("RotateKey", name=f"keys/service{suffix}", overlap={"seconds": 600})
    do("RevokeKey", name=f"keys/revoked{suffix}")
    do("GetKey", name=f"keys/viewer{suffix}")
    do(
        "UpdateQueue",
        name="queues/nobody",
        max_runs_at_work=5,
        rate={"runs": 3, "period": {"seconds": 1}},
        reason="why",
    )
    do("GetQueue", name="queues/nobody")
    for call, held in (("PauseFlow", "signal"), ("ResumeFlow", "signal"), ("PauseFlow", "queued")):
        do(call, name=started[held, 0].name, reason="look")
    for call, held in (("PauseRun", "branches"), ("ResumeRun", "branches"), ("InterruptRun", "branches")):
        do(call, name=started[held, 0].root_run, reason="look")
    do("CancelFlow", name=started["approve", 2].name, reason="not wanted")
    do("CancelRun", name=started["input", 2].root_run, reason="not wanted")
    do("SignalRun", name=started["signal", 1].root_run, signal="payment", payload=b'{"n": 2}')
    do(
        "RevokePlaybookVersion",
        name=population.versions["expired"].name,
        digest=population.versions["expired"].digest,
        reason="old",
    )
    for call in ("GetServerInfo", "WhoAmI", "GetPolicy", "GetCredentialInventory"):
        do(call)
    do("GetPlaybook", name=f"playbooks/done{suffix}")
    do("GetPlaybookVersion", name=approve.name)
    do("GetSession", name=session)
    do("ListSessionEvents", name=session, page_size=7)
    do("UpdatePolicy", block_warnings=False, blocked_warnings={"codes": []}, require_review=False, reason="as it was")


def _take_in(population: Population, started: dict[tuple[str, int], Any]) -> None:
    """Learns what there is now."""
    do = population.do
    for (name, count), flow in started.items():
        if count:
            continue
        row = do("GetRun", name=flow.root_run)
        run = row.name
        population.flows[name] = do("GetFlow", name=flow.name)
        plan = do("GetRunPlan", name=run)
        for call in ("GetRecovery", "ExplainRun"):
            do(call, name=run)
        for call in ("ListCheckpoints", "ListEffects", "ListInbox"):
            do(call, name=run, page_size=5)
        listed = do("ListRunEvents", name=run, page_size=500).events
        population.events[name] = [one.event for one in listed if one.HasField("holder")]
        population.exported.append(_export(row, plan, listed))
    _follow(population, started["approve", 0].session)
    for flow in (population.flows["done"], population.flows["approve"]):
        population.offer("WatchRun", runs_pb2.WatchRunRequest(name=flow.root_run))
        cursors = [{"run": flow.root_run, "sequence": 3}]
        population.offer("WatchFlow", flows_pb2.WatchFlowRequest(name=flow.name, cursors=cursors))
    for task in do("ListTasks", parent=started["command", 0].session, run=started["command", 0].root_run).tasks:
        do("GetTask", name=task.name)
        do("ReadTaskOutput", name=task.name)
    for agent in do("ListAgents", session=started["agent", 0].session).agents[:3]:
        do("GetAgent", name=agent.name)
    open_ones = do(
        "ListApprovals", session=started["approve", 0].session, states=["STATE_OPEN"], page_size=500
    ).approvals
    for approval in sorted(open_ones, key=lambda one: (one.flow, one.instance)):
        population.approvals.append(do("GetApproval", by="reviewer", name=approval.name))
    position = do("GetAuditHead").position
    exported = do("ExportAuditEvents", after_position=max(0, position - 100) if population.audited else 0)
    population.audited.extend([] if population.audited else exported)
    _page(population)


def _follow(population: Population, session: str) -> None:
    """Follows approvals for a moment, and takes the token by which whoever does goes on."""
    path, right = path_of("WatchApprovals"), approvals_pb2.WatchApprovalsRequest(session=session, snapshot=True)
    population.offer("WatchApprovals", right)
    answer = population.line.ask(path, [right.SerializeToString()], population.people()["reviewer"])
    for message in answer.messages[-1:]:
        token = approvals_pb2.WatchApprovalsResponse.FromString(message).resume_token
        onwards = approvals_pb2.WatchApprovalsRequest(session=session, resume_token=token)
        population.offer("WatchApprovals", onwards)
        population.cursors.append(Cursor(path, onwards, "resume_token"))


def _export(row: runs_pb2.Run, plan: runs_pb2.RunPlan, events: Any) -> list[ExportRecord]:
    digest = NO_EVENTS
    for recorded in events:
        digest = next_digest(digest, recorded, recorded.event.SerializeToString())
    return [
        ExportRecord(plan=ExportedPlan(digest=plan.digest, plan=plan.plan)),
        ExportRecord(run=ExportedRun(run=row, plan_digest=plan.digest)),
        *(ExportRecord(event=recorded) for recorded in events),
        ExportRecord(end=ExportedEnd(last_sequence=len(events), head_digest=digest)),
    ]


def _page(population: Population) -> None:
    """Takes a token of every list that has a second page."""
    for path, method in METHODS.items():
        if "page_token" not in method.input_type.fields_by_name:
            continue
        for right in [*population.requests[path], GetMessageClass(method.input_type)()][-3:]:
            request = type(right)()
            request.CopyFrom(right)
            request.page_size = 1
            answer = population.line.ask(path, [request.SerializeToString()], population.people()["admin"])
            if not answer.messages:
                continue
            token = GetMessageClass(method.output_type).FromString(answer.messages[0]).next_page_token
            if token:
                request.page_token = token
                population.cursors.append(Cursor(path, request))
                population.requests[path].append(request)


def _offer(population: Population, started: dict[tuple[str, int], Any], session: str) -> None:
    """Requests that would be right, and are not made: their turn comes when they are bent."""
    for approval in population.approvals:
        population.offer("DecideApproval", right_decision(approval))
    for name in ("failed", "expired", "branches", "doubt"):
        run = population.do("GetRun", name=started[name, 0].root_run)
        asked = runs_pb2.ContinueRunRequest(name=run.name, answers_sequence=run.ended_sequence or run.last_sequence)
        asked.MergeFrom(runs_pb2.ContinueRunRequest(reopen=run.failed_instance, extra_attempts=1, reason="again"))
        asked.timeout.seconds = 100
        population.offer("ContinueRun", asked)
    doubtful = started["doubt", 0].root_run
    for said in ("DONE", "RETRY", "FAILED"):
        resolution = {
            "name": doubtful,
            "instance": "pay:1#1",
            "resolution": f"RESOLUTION_KIND_{said}",
            "reason": "looked",
        }
        resolution |= {"output": b'{"paid": 1}'} if said == "DONE" else {}
        population.offer("ResolveEffect", runs_pb2.ResolveEffectRequest(**resolution))
    for payload in (b'{"n": 2}', b'{"n": 2, "tags": ["a"]}'):
        signal = {"name": started["signal", 0].root_run, "signal": "payment", "payload": payload}
        population.offer("SignalRun", GetMessageClass(METHODS[path_of("SignalRun")].input_type)(**signal))
    population.offer("DeleteSchedule", schedules_pb2.DeleteScheduleRequest(name=f"schedules/cron{population.suffix}"))
    times = {"start_time": {"seconds": 1_700_000_000}, "end_time": {"seconds": 4_000_000_000}}
    audited = audit_pb2.ListAuditEventsRequest(types=["run.created", "human.decision"], page_size=3, **times)
    population.offer("ListAuditEvents", audited)


def right_decision(approval: approvals_pb2.Approval) -> approvals_pb2.DecideApprovalRequest:
    """A decision that an open approval allows."""
    request = approvals_pb2.DecideApprovalRequest(name=approval.name, token=approval.token, reason="looks right")
    match approval.kind:
        case decisions_pb2.APPROVAL_KIND_INPUT:
            request.decision, request.content = decisions_pb2.DECISION_KIND_PROVIDED, b'{"n": 4, "tags": ["x"]}'
        case decisions_pb2.APPROVAL_KIND_SELECT:
            request.decision, request.selected_option = decisions_pb2.DECISION_KIND_SELECTED, "green"
        case decisions_pb2.APPROVAL_KIND_REVIEW:
            request.decision, request.content = decisions_pb2.DECISION_KIND_EDITED, b"4"
        case _:
            request.decision = _APPROVED
    return request

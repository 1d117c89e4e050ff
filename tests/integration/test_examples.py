"""The playbooks in `examples` are valid, say how to run them, and do what they say. `test_demo` runs the largest."""

import json
import pathlib
from typing import Any

import pytest

from perdure.v1 import (
    approvals_pb2,
    decisions_pb2,
    flows_pb2,
    playbooks_pb2,
    run_events_pb2,
    run_inbox_pb2,
    runs_pb2,
    tasks_pb2,
)
from perdure_executor.equipment import load_functions

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
NAMES = sorted(playbook.parent.name for playbook in EXAMPLES.glob("*/playbook.yaml"))


def manifest(name: str) -> str:
    return (EXAMPLES / name / "playbook.yaml").read_text()


async def publish_others(service: Any, name: str) -> None:
    """Publishes the playbooks that an example starts."""
    for other in sorted(EXAMPLES.glob(f"{name}/*.yaml")):
        if other.name != "playbook.yaml":
            await service.publish(other.read_text())


async def hire_for(hire: Any, service: Any, name: str) -> None:
    await hire(service, dict(load_functions((str(EXAMPLES / name / "functions.py"),))))


async def events_of(service: Any, flow: flows_pb2.Flow) -> list[run_events_pb2.RunEvent]:
    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run))
    return [recorded.event for recorded in listed.events]


def outputs(events: list[run_events_pb2.RunEvent]) -> list[dict[str, Any]]:
    return [json.loads(event.node_output.json) for event in events if event.HasField("node_output")]


def given(**inputs: str) -> flows_pb2.FlowRequest:
    return flows_pb2.FlowRequest(input=json.dumps(inputs).encode())


@pytest.mark.parametrize("name", NAMES)
async def test_every_example_is_valid_without_a_warning(serve: Any, name: str) -> None:
    service = await serve()
    await publish_others(service, name)
    document = playbooks_pb2.PlaybookDocument(text=manifest(name).encode())

    found = await service.playbooks.ValidatePlaybook(playbooks_pb2.ValidatePlaybookRequest(document=document))

    assert (found.valid, list(found.errors), list(found.warnings)) == (True, [], [])


@pytest.mark.parametrize("name", NAMES)
def test_every_example_says_how_to_run_it_and_is_in_the_table(name: str) -> None:
    how = manifest(name).partition("playbook_id:")[0]

    assert "perdure-server up" in how
    assert f"perdure run examples/{name}/playbook.yaml" in how
    assert f"[{name}]({name}/playbook.yaml)" in (EXAMPLES / "README.md").read_text()


async def test_hello_greets_whoever_is_named(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire_for(hire, service, "hello")

    ended = await service.settled(await service.start(manifest("hello"), request=given(who="Ada")))

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert outputs(await events_of(service, ended)) == [{"greeting": "Good morning, Ada!"}]


async def open_approval(service: Any, flow: flows_pb2.Flow) -> approvals_pb2.Approval:
    event = await service.until(flow, lambda recorded: recorded.event.HasField("wait_opened"))
    name = f"approvals/{event.event.wait_opened.approval.approval_id}"
    return await service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=name))


async def decide(service: Any, approval: approvals_pb2.Approval, kind: str, reason: str = "") -> None:
    decision = decisions_pb2.DecisionKind.Value(f"DECISION_KIND_{kind}")
    request = approvals_pb2.DecideApprovalRequest(
        name=approval.name, decision=decision, token=approval.token, reason=reason
    )
    await service.approvals.DecideApproval(request)


async def test_an_announcement_is_posted_as_it_was_approved(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire(service)
    flow = await service.start(manifest("approval"), request=given(text="Maintenance on Sunday."))

    approval = await open_approval(service, flow)
    await decide(service, approval, "APPROVED")
    ended = await service.settled(flow)

    shown = json.loads(approval.subject)["subject"]["text"]
    tasks = await service.tasks.ListTasks(tasks_pb2.ListTasksRequest(parent="sessions/s"))
    post = next(task for task in tasks.tasks if task.instance.startswith("post"))
    printed = service.tasks.ReadTaskOutput(tasks_pb2.ReadTaskOutputRequest(name=post.name))
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert shown == "ANNOUNCEMENT: Maintenance on Sunday."
    assert b"".join([piece.content async for piece in printed]) == shown.encode()
    assert [(check.evidence.id, check.passed) for check in ended.contract.checks] == [("release", True)]


async def test_an_announcement_that_is_rejected_is_not_posted(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire(service)
    flow = await service.start(manifest("approval"), request=given(text="Maintenance."))

    await decide(service, await open_approval(service, flow), "REJECTED", "Say when.")
    ended = await service.settled(flow)

    tasks = await service.tasks.ListTasks(tasks_pb2.ListTasksRequest(parent="sessions/s"))
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_FAILED"
    assert [task.instance for task in tasks.tasks] == ["draft:1#1"]
    assert "Say when." in ended.failure_message


async def test_retries_tries_in_place_and_goes_back_until_the_review_is_passed(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire_for(hire, service, "retries")

    ended = await service.settled(await service.start(manifest("retries")))

    events = await events_of(service, ended)
    begun = [event.node_started.instance for event in events if event.HasField("node_started")]
    attempts = [(at.path[-1].node, at.path[-1].visit, at.attempt) for at in begun]
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert attempts == [
        ("fetch", 1, 1), ("fetch", 1, 2), ("fetch", 1, 3),
        ("draft", 1, 1), ("review", 1, 1),
        ("draft", 2, 1), ("review", 2, 1),
    ]  # fmt: skip
    assert outputs(events)[-2:] == [{"text": "Seen tonight: three planets, one moon. Signed."}, {"accepted": True}]


async def test_branches_counts_measures_and_looks_before_it_sums_up(serve: Any, hire: Any, folder_of: Any) -> None:
    service = await serve()
    await hire(service, workspace=folder_of({"shelf/a.txt": "one", "shelf/b.txt": "two"}))

    ended = await service.settled(await service.start(manifest("branches"), request=given(folder="shelf")))

    told = outputs(await events_of(service, ended))[-1]["stdout"]
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert told.startswith("2 files, ")
    assert told.strip().endswith((": a.txt", ": b.txt"))


@pytest.mark.parametrize(
    ("lines", "risk", "walked"),
    [
        ("12", "low", ["weigh", "release", "record"]),
        ("12", "high", ["weigh", "hold_back", "record"]),
        ("1200", "low", ["weigh", "look", "release", "record"]),
    ],
)
async def test_choice_releases_what_is_small_asks_about_what_is_large_and_holds_back_the_rest(
    serve: Any, hire: Any, lines: str, risk: str, walked: list[str]
) -> None:
    service = await serve()
    await hire(service)
    flow = await service.start(manifest("choice"), request=given(lines=lines, risk=risk))

    if "look" in walked:
        await decide(service, await open_approval(service, flow), "APPROVED")
    ended = await service.settled(flow)

    events = await events_of(service, ended)
    settled = [event.node_settled.instance.path[-1].node for event in events if event.HasField("node_settled")]
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert settled == walked


async def test_waits_ships_what_was_paid_though_the_payment_came_early(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire_for(hire, service, "waits")
    flow = await service.start(manifest("waits"), request=given(ship_at="2026-01-31T08:00:00+01:00"))

    paid = run_inbox_pb2.SignalRunRequest(name=flow.root_run, signal="payment", payload=b'{"amount":7}')
    await service.inbox.SignalRun(paid)
    ended = await service.settled(flow)

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert outputs(await events_of(service, ended)) == [{"amount": 7}, {"shipped": "an order of 7"}]


async def test_a_rejected_title_is_set_aside_with_the_reason(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire(service, {})
    flow = await service.start(manifest("rework"), request=given(title="Ten years"))

    await decide(service, await open_approval(service, flow), "REJECTED", "nine")
    ended = await service.settled(flow)

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert outputs(await events_of(service, ended))[-1]["stdout"] == "set aside: nine\n"


async def test_children_checks_both_components_by_their_own_procedure(serve: Any, hire: Any) -> None:
    service = await serve()
    await publish_others(service, "children")
    await hire(service)

    ended = await service.settled(await service.start(manifest("children")))

    events = await events_of(service, ended)
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert len({event.child_started.run_id for event in events if event.HasField("child_started")}) == 2
    assert outputs(events)[-1]["stdout"] == "server and client are fit: true\n"


async def test_batch_measures_what_is_there_and_tells_what_is_missing(serve: Any, hire: Any, folder_of: Any) -> None:
    service = await serve()
    await hire(service, workspace=folder_of({"a.txt": "one", "b.txt": "three"}))
    files = flows_pb2.FlowRequest(input=json.dumps({"files": ["a.txt", "c.txt", "b.txt"]}).encode())

    ended = await service.settled(await service.start(manifest("batch"), request=files))

    events = await events_of(service, ended)
    tried = [event.node_started.instance for event in events if event.HasField("node_started")]
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert outputs(events)[-1]["stdout"] == '2 measured, ["c.txt"] missing\n'
    assert [(at.path[-1].item, at.attempt) for at in tried if at.path[-1].item == 2] == [(2, 1), (2, 2)]

"""`perdure flows`: starts of playbooks, and what became of them."""

import uuid
from typing import Annotated

import typer

from perdure.cli import names
from perdure.cli.asking import can_ask, confirm_where_possible
from perdure.cli.connection import connected
from perdure.cli.deciding import ask_for_decisions
from perdure.cli.doubts import tell_doubts
from perdure.cli.durations import parse_duration
from perdure.cli.exit_codes import ExitCode
from perdure.cli.first_answer import first_answer
from perdure.cli.following.follow import Bounds, Until, UntilOption, WaitTimeout, flow_verdict, follow_flow, look_ahead
from perdure.cli.following.story import Story
from perdure.cli.inputs import Content, InputJson, Inputs, RequestFile, flow_request
from perdure.cli.lazy import noun
from perdure.cli.lists import DEFAULT_LIMIT, LARGEST_PAGE, list_items, page_size
from perdure.cli.options import FlowName, Limit, OfPlaybook, OfSession, Output, Reason, Yes
from perdure.cli.pausing import add_flow_pausing_commands
from perdure.cli.printing.formats import Format, print_brief, print_one
from perdure.cli.printing.words import at
from perdure.cli.start_options import (
    InSession,
    Labels,
    Priority,
    Queue,
    RunTimeout,
    StartedDigest,
    StartedPlaybook,
    StartedVersion,
    StartOptions,
)
from perdure.cli.waiting import unserved, waiting_steps
from perdure.client import CallFailed, Client, pages
from perdure.v1.flows_pb2 import CancelFlowRequest, Flow, GetFlowRequest, ListFlowsRequest, StartFlowRequest
from perdure.v1.runs_pb2 import ListRunsRequest

app = noun("Flows: one for each start of a playbook, with everything that was done for it.")

Key = Annotated[
    str, typer.Option("--idempotency-key", metavar="KEY", help="The same key never starts twice; a fresh one if none.")
]


@app.command()
@connected
async def start(
    perdure: Client,
    playbook_id: StartedPlaybook,
    version: StartedVersion,
    digest: StartedDigest,
    session_id: InSession,
    flow_id: Annotated[
        str | None, typer.Option("--flow-id", metavar="ID", help="Id for the flow; the server chooses.")
    ] = None,
    idempotency_key: Key = "",
    request_file: RequestFile = None,
    inputs: Inputs = None,
    input_json: InputJson = None,
    content: Content = None,
    queue: Queue = "",
    labels: Labels = None,
    priority: Priority = 0,
    run_limit: RunTimeout = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until it ends or waits for a person.")] = False,
    until: UntilOption = Until.HELD,
    wait_timeout: WaitTimeout = None,
    output: Output = Format.TABLE,
) -> ExitCode:
    """Start a published version of a playbook, named by id, version and digest, in a session that exists."""
    options = StartOptions(
        playbook_id=playbook_id,
        version=version,
        digest=digest,
        session_id=session_id,
        given=flow_request(request_file, input_json, inputs, content),
        queue=queue,
        labels=labels,
        priority=priority,
        run_limit=run_limit,
    )
    request = options.request()
    request.idempotency_key = idempotency_key or str(uuid.uuid4())
    request.flow_id = names.bare(names.flow(flow_id)) if flow_id is not None else ""
    bounds = Bounds(until, parse_duration(wait_timeout, "--wait-timeout") if wait_timeout else None)
    return await start_and_follow(perdure, request, bounds if wait else None, output)


@app.command()
@connected
async def get(perdure: Client, flow: FlowName, output: Output = Format.TABLE) -> None:
    """Show a flow: how it stands, what decided that, and everything that belongs to it."""
    found = await perdure.flows.GetFlow(GetFlowRequest(name=names.flow(flow)))
    print_one(found, output)
    if output is Format.TABLE and not found.settled:
        for step in await waiting_steps(perdure, found.root_run):
            typer.echo(step, err=True)


@app.command("list")
@connected
async def list_flows(
    perdure: Client,
    session_id: OfSession = None,
    playbook_id: OfPlaybook = None,
    limit: Limit = DEFAULT_LIMIT,
    output: Output = Format.TABLE,
) -> None:
    """List flows and how they stand, the latest first."""
    request = ListFlowsRequest(
        session=names.session(session_id) if session_id is not None else "",
        playbook=names.playbook(playbook_id) if playbook_id is not None else "",
        page_size=page_size(limit),
    )
    await list_items(pages(perdure.flows.ListFlows, request), lambda page: page.flows, limit, output)


@app.command()
@connected
async def cancel(
    perdure: Client,
    flow: FlowName,
    reason: Reason = "",
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Stop a flow for good, also one that could be continued. One that has completed is shown as it is."""
    name = names.flow(flow)
    confirm_where_possible(f"Cancel {name} for good?", yes)
    print_one(await perdure.flows.CancelFlow(CancelFlowRequest(name=name, reason=reason)), output)
    tell_doubts((await perdure.runs.ListRuns(ListRunsRequest(flow=name, page_size=LARGEST_PAGE))).runs)


add_flow_pausing_commands(app)


@app.command()
@connected
async def watch(
    perdure: Client,
    flow: FlowName,
    until: UntilOption = Until.SETTLED,
    wait_timeout: WaitTimeout = None,
    output: Output = Format.TABLE,
) -> ExitCode:
    """Follow a flow from its first event, across restarts of the server, and exit with what became of it.

    For people it is told on standard error. With -o json every event, and the flow whenever its status changes, is one
    object a line on standard output.
    """
    bounds = Bounds(until, parse_duration(wait_timeout, "--wait-timeout") if wait_timeout else None)
    name = names.flow(flow)
    found, story = await first_answer(lambda: perdure.flows.GetFlow(GetFlowRequest(name=name))), Story()
    await look_ahead(perdure, story, found.root_run)
    return await follow_flow(perdure, name, bounds, output, story)


async def start_and_follow(
    perdure: Client, request: StartFlowRequest, bounds: Bounds | None, output: Format, *, ask: bool = False
) -> ExitCode:
    """Starts a flow, follows it where bounds are given, and prints it as it is then. Raises CallFailed.

    With `ask`, whoever sits at the terminal is asked for the decisions that it waits for.
    """
    flow = await _begin(perdure, request)
    before = started_before(flow)
    if bounds is None:
        print_brief(flow, output)
        if before:
            typer.echo(f"it was {before}, under the same key; nothing new has begun", err=True)
        if output is Format.TABLE:
            step = await unserved(perdure, flow.root_run)
            if step:
                typer.echo(step, err=True)
        typer.echo(f"follow it: perdure flows watch {names.bare(flow.name)}", err=True)
        return ExitCode.OK
    typer.echo(f"{flow.name} was {before}, under the same key" if before else f"started {flow.name}", err=True)
    story = Story()
    await look_ahead(perdure, story, flow.root_run)
    code = await follow_flow(perdure, flow.name, bounds, story=story)
    while ask and code is ExitCode.WAITING and can_ask():
        decided = await ask_for_decisions(perdure, flow.name)
        # Whether or not: meanwhile its time may be over, or somebody else has decided.
        flow = await perdure.flows.GetFlow(GetFlowRequest(name=flow.name))
        if not decided and flow.status == Flow.STATUS_WAITING:
            break
        code = await follow_flow(perdure, flow.name, bounds, story=story)
    flow = await perdure.flows.GetFlow(GetFlowRequest(name=flow.name))
    print_brief(flow, output)
    verdict = flow_verdict(flow, bounds.until)
    return code if verdict is None else verdict


async def _begin(perdure: Client, request: StartFlowRequest) -> Flow:
    """The flow. Where nobody knows whether there is one, people are told how not to start another. Raises CallFailed."""
    try:
        return await perdure.flows.StartFlow(request)
    except CallFailed as failure:
        if failure.lost and not failure.reason:
            way = f"perdure flows start --idempotency-key {request.idempotency_key} ..."
            typer.echo(f"it may have started; this starts it if not, and never a second time: {way}", err=True)
        raise


def started_before(flow: Flow) -> str:
    """Since when there is a flow that a start was answered with but did not begin; empty where it may have begun it.

    A flow that has just begun is queued, and nothing belongs to it yet but its run and the session's agent.
    """
    if flow.status == Flow.STATUS_RUNNING and not flow.primitive_refs.tasks and not flow.primitive_refs.approvals:
        return ""
    return f"started before, at {at(flow.create_time):%Y-%m-%d %H:%M:%S} UTC"

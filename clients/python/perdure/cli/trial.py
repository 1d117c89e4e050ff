"""`perdure run`: tries a playbook from a file, from storing it to its end, in one command."""

import pathlib
import uuid
from typing import Annotated

import typer

from perdure.cli import names
from perdure.cli.connection import connected
from perdure.cli.durations import duration_message, parse_duration
from perdure.cli.exit_codes import ExitCode
from perdure.cli.failures import Refused
from perdure.cli.first_answer import first_answer
from perdure.cli.flows import start_and_follow
from perdure.cli.following.follow import Bounds, Until, UntilOption, WaitTimeout
from perdure.cli.inputs import Content, InputJson, Inputs, RequestFile, flow_request
from perdure.cli.lazy import verb
from perdure.cli.manifests import read_document, show_diagnostics
from perdure.cli.options import Output
from perdure.cli.printing.formats import Format
from perdure.cli.start_options import RunTimeout
from perdure.client import Client
from perdure.v1.flows_pb2 import StartFlowRequest
from perdure.v1.playbooks_pb2 import (
    PUBLICATION_DRAFT,
    PUBLICATION_VERIFIED,
    CreatePlaybookVersionRequest,
    Evidence,
    PlaybookDocument,
    PlaybookVersion,
    PublishPlaybookVersionRequest,
    ValidatePlaybookRequest,
)
from perdure.v1.server_pb2 import AUTHENTICATION_REQUIRED, GetServerInfoRequest
from perdure.v1.sessions_pb2 import CreateSessionRequest

app = verb()


@app.command()
@connected
async def run(
    perdure: Client,
    file: Annotated[pathlib.Path, typer.Argument(metavar="FILE", help="The manifest, YAML or JSON; - reads it.")],
    inputs: Inputs = None,
    input_json: InputJson = None,
    content: Content = None,
    request_file: RequestFile = None,
    session_id: Annotated[
        str, typer.Option("--session-id", metavar="SESSION", help="The session it is work of; made if needed.")
    ] = "trial",
    run_limit: RunTimeout = None,
    until: UntilOption = Until.HELD,
    wait_timeout: WaitTimeout = None,
    output: Output = Format.TABLE,
) -> ExitCode:
    """Try a playbook: check, store and publish it with a trial as its evidence, start it, and follow it.

    For a server of your own. One that asks callers who they are refuses it: there a version is reviewed before it
    starts (perdure playbooks publish, perdure flows start). At a terminal it asks for the decisions that the playbook
    waits for; anywhere else it ends there and says how to decide.
    """
    request = flow_request(request_file, input_json, inputs, content)
    bounds = Bounds(until, parse_duration(wait_timeout, "--wait-timeout") if wait_timeout else None)
    run_timeout = duration_message(run_limit)
    await _check_open(perdure)
    version = await _publish(perdure, await _store(perdure, read_document(file, "FILE")), file)
    session = await perdure.sessions.CreateSession(
        CreateSessionRequest(session_id=names.bare(names.session(session_id)))
    )
    started = StartFlowRequest(
        playbook_version=version.name,
        digest=version.digest,
        session=session.name,
        idempotency_key=str(uuid.uuid4()),
        request=request,
        timeout=run_timeout,
    )
    return await start_and_follow(perdure, started, bounds, output, ask=True)


async def _check_open(perdure: Client) -> None:
    server = await first_answer(lambda: perdure.server.GetServerInfo(GetServerInfoRequest()))
    if server.authentication == AUTHENTICATION_REQUIRED:
        message = "this server starts what was reviewed, and a trial is no review"
        raise Refused(
            ExitCode.DENIED,
            "AUTHENTICATION_REQUIRED",
            message,
            "perdure playbooks create, perdure playbooks publish, perdure flows start",
        )


async def _store(perdure: Client, document: PlaybookDocument) -> PlaybookVersion:
    """The stored version. Raises Refused where the manifest has faults, after showing each."""
    found = await perdure.playbooks.ValidatePlaybook(ValidatePlaybookRequest(document=document))
    show_diagnostics(found)
    if not found.valid:
        message = "the manifest has faults, so nothing was stored"
        raise Refused(ExitCode.FAILURE, "PLAYBOOK_INVALID", message, "correct what is named above")
    return await perdure.playbooks.CreatePlaybookVersion(CreatePlaybookVersionRequest(document=document))


async def _publish(perdure: Client, version: PlaybookVersion, file: pathlib.Path) -> PlaybookVersion:
    """The version, startable. One that is published already is left as it is."""
    if version.publication != PUBLICATION_DRAFT:
        return version
    evidence = Evidence(kind="trial", id=version.digest[:12], description=f"perdure run {file.name}")
    request = PublishPlaybookVersionRequest(
        name=version.name, digest=version.digest, publication=PUBLICATION_VERIFIED, evidence=[evidence]
    )
    return await perdure.playbooks.PublishPlaybookVersion(request)

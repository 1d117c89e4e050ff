"""What to do next, for each reason that a call can fail with."""

import re
from collections import defaultdict
from typing import Final

import grpc

from perdure.cli.names import bare
from perdure.client import CallFailed

HINTS: Final = {
    "FIELD_INVALID": "correct what is named above; --help says what each option takes",
    "PAGE_TOKEN_INVALID": "list again from the beginning",
    "RESUME_TOKEN_EXPIRED": "begin again without --resume-token: what is open is shown first",
    "PLAYBOOK_INVALID": "correct the manifest; check it with: perdure playbooks validate --manifest-file FILE",
    "ALREADY_EXISTS": "choose another id, or look at what has it",
    "REQUEST_ID_REUSED": "choose a new id for a new request, or repeat the first request unchanged",
    "VERSION_EXISTS": "a stored version never changes: raise `version` in the manifest",
    "DIGEST_MISMATCH": "look at what is stored before you give its digest: perdure playbooks get {path}",
    "PUBLICATION_STATE": "look at its publication: perdure playbooks get {path}",
    "POLICY_FORBIDS": "look at what is demanded, and who set it: perdure policy get",
    "EVIDENCE_UNRESOLVED": "name evidence that exists; kinds other than flow, run, task and approval are taken as given",
    "RUN_STATE": "look at where it stands: perdure runs get {run}; how it can go on: perdure runs recovery {run}",
    "INBOX_FULL": "see what is kept, and for what it waits: perdure runs inbox {run}",
    "STOP_STANDS": "wait for the stop to end, or replace it: perdure runs cancel {run}",
    "ANSWER_STALE": "it has moved on; look again: perdure runs recovery {run}",
    "CONTINUE_NEEDS": "look at what it needs: perdure runs recovery {run}",
    "PARENT_DOES_NOT_WAIT": "continue the run that started it: perdure runs recovery {parent_run}",
    "NOT_HELD": "look at what keeps it from going on: perdure runs why {run}",
    "NOT_IN_DOUBT": "look at what is in doubt: perdure runs recovery {run}",
    "REPORT_UNSEEN": "read the report first: perdure runs recovery {run}",
    "EFFECT_MAY_RUN": "wait until the time that it shows, then resolve it: perdure runs recovery {run}",
    "APPROVAL_CLOSED": "look at what became of it: perdure approvals show {approval}",
    "APPROVAL_DECIDED": "look at who decided, and why: perdure approvals show {approval}",
    "NOT_REQUESTER": "look at who started it: perdure approvals show {approval}",
    "REMARKS_FULL": "read them: perdure approvals show {approval}",
    "APPROVAL_VOTED": "look at who has said what: perdure approvals show {approval}",
    "DECIDER_NOT_ALLOWED": "let somebody else decide; who may not is in: perdure approvals show {approval}",
    "TOKEN_MISMATCH": "what it asks has changed; look at it again: perdure approvals show {approval}",
    "DECISION_NOT_ALLOWED": "look at what it accepts: perdure approvals show {approval}",
    "UNAUTHENTICATED": "say who you are: PERDURE_KEY, or --key-file FILE; who the server takes you for: perdure auth whoami",
    "SCOPE_MISSING": "ask whoever runs the server for a role that has the scope; yours: perdure auth whoami",
    "PAYLOAD_TOO_LARGE": "make it smaller, or keep it elsewhere and pass a reference; the limits: perdure runtime get",
    "CONCURRENCY_LIMIT_REACHED": "start it again when one of these has ended: {runs}",
    "CALL_RATE_REACHED": "wait a moment and repeat; who keeps the server says how many calls are let through",
    "STREAM_LIMIT_REACHED": "end a command that follows something, and repeat",
    "QUEUE_FULL": "start it again when some runs have gone; the queue: perdure status",
    "PROVIDER_NOT_CONFIGURED": "configure the provider at an executor; what they have: perdure runtime get",
    "SERVER_DRAINING": "try again in a moment",
    "STORE_UNAVAILABLE": "try again in a moment; if it lasts, look at the disk and the log of the server",
    "CONFLICT": "it changed meanwhile: look again, and repeat",
    "VERSION_UNSUPPORTED": "bring client and server to versions that go together: perdure --version, perdure status",
    "PROTOCOL_VIOLATION": "this is an error in the client: report it, with the command",
    "DELETED": "look for it in a copy of the store from before; how long the server keeps what has ended is its own setting",
    "NOT_SUPPORTED": "use a server that is as new as this program: perdure runtime get",
    "DATA_CORRUPT": "stop the server and look at its disk before anything else is written",
    "INTERNAL": "this is an error in the server: report it, with the request id in the message",
}
"""By reason; words in braces are ids in the error's metadata. NOT_FOUND is answered by what was looked for."""

OPTIONS: Final = {
    "answers_sequence": "--answers-sequence",
    "digest": "--digest",
    "document": "--manifest-file",
    "evidence": "--evidence-refs-json",
    "extra_attempts": "--extra-attempts",
    "flow_id": "--flow-id",
    "idempotency_key": "--idempotency-key",
    "output": "--output-json",
    "overlap": "--overlap",
    "playbook_version": "--playbook-id and --version",
    "priority": "--priority",
    "publication": "--status",
    "queue": "--queue",
    "reason": "--reason",
    "reopen": "--reopen",
    "request": "--request-file",
    "request.content": "--content",
    "request.input": "--input or --input-json",
    "request.metadata": "metadata in the --request-file",
    "request.provider": "provider in the --request-file",
    "request_id": "--request-id",
    "role": "--role",
    "session": "--session-id",
    "time_to_live": "--expires-in",
    "timeout": "--timeout",
}
"""What gives each field of a request, by the field's path; an inner field is given by what gives the outer one."""

_PUBLISH: Final = (
    "publish it when it is reviewed: perdure playbooks publish {path} --digest SHA256 "
    """--evidence-refs-json '[{{"kind": "review", "id": "..."}}]'"""
)

_LISTS: Final = {
    "playbooks": "perdure playbooks list",
    "flows": "perdure flows list",
    "runs": "perdure runs list",
    "approvals": "perdure approvals list --state all",
    "agents": "perdure agents list",
    "schedules": "perdure schedules list",
    "keys": "perdure keys list",
}


def hint(failure: CallFailed) -> str:
    """The next thing to do after a failed call; empty where nobody knows."""
    if failure.reason == "NOT_FOUND":
        return _not_found(failure.metadata.get("resource", ""))
    options = sorted({option for fault in failure.faults if (option := _option(fault.field))})
    if failure.reason == "FIELD_INVALID" and options:
        return f"correct {', '.join(options)}{_about_inputs(failure)}"
    if failure.reason == "PAYLOAD_TOO_LARGE" and options:
        return f"make what {', '.join(options)} gives smaller; the limits: perdure runtime get"
    if failure.reason == "REQUEST_ID_REUSED" and options:
        return f"choose a new {options[0]} for a new request, or repeat the first request unchanged"
    if failure.reason == "PUBLICATION_STATE" and failure.metadata.get("publication", "").lower() == "draft":
        return _PUBLISH.format(path=failure.metadata.get("resource", "NAME"))
    if failure.reason:
        ids = {key: bare(value) for key, value in failure.metadata.items()}
        path = failure.metadata.get("resource", "NAME")
        return HINTS.get(failure.reason, "").format_map(defaultdict(lambda: "NAME", ids, path=path))
    match failure.code:
        case grpc.StatusCode.UNAVAILABLE:
            return "start a server (perdure-server up), or name another with --server or PERDURE_SERVER"
        case grpc.StatusCode.UNIMPLEMENTED:
            return "name a Perdure server with --server or PERDURE_SERVER"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return "the server did not answer in time: try again; whether it is well: perdure status"
        case _:
            return ""


def _about_inputs(failure: CallFailed) -> str:
    fields = [fault.field for fault in failure.faults if f"{fault.field}.".startswith("request.input.")]
    about = "; what the playbook takes is in its manifest, under inputs" if fields else ""
    if any(field != "request.input" for field in fields):
        about += """; what reads as JSON is JSON, and text is quoted twice: --input 'code="42"'"""
    return about


def _option(field: str) -> str:
    field = re.sub(r"\[\d+\]", "", field)
    while field and field not in OPTIONS:
        field = field.rpartition(".")[0]
    return OPTIONS.get(field, "")


def _not_found(resource: str) -> str:
    collection, _, rest = resource.partition("/")
    if "/tasks/" in rest:
        return f"perdure tasks list {rest.partition('/')[0]}"
    if "/versions/" in rest:
        return f"perdure playbooks get {rest.partition('/')[0]}"
    if collection == "sessions":
        return f"perdure sessions list; or make it: perdure sessions create {rest}"
    return _LISTS.get(collection, "")

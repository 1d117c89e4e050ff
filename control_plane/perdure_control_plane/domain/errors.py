"""What a use case refuses, as a small tree with data. The API turns each into a status in one table.

PerdureError
├── FieldInvalid             a field is missing, malformed, or contradicts another
├── PageTokenInvalid         a page token is unknown or was made for other arguments
├── ResumeTokenExpired       what came after a resume token is there no longer
├── PlaybookInvalid          a manifest has faults
├── NotSupported             this server has no such method
├── NotFound                 nothing has that name
├── Deleted                  what had that name was deleted
├── Taken                    the name, the request id or the version is taken
│   ├── AlreadyExists
│   ├── RequestIdReused
│   └── VersionExists
├── Refused                  the state of things does not allow it
│   ├── DigestMismatch, PublicationForbids, PolicyForbids, EvidenceUnresolved, ProviderNotConfigured
│   ├── RunStateForbids, StopStands, AnswerStale, ContinueNeeds, ParentDoesNotWait, NotHeld
│   ├── NotInDoubt, ReportUnseen
│   └── ApprovalClosed, ApprovalDecided
├── DecisionNotAllowed       the approval does not accept that decision
├── TokenMismatch            the token was made for something else
├── DeciderNotAllowed        somebody else is to decide
├── Unauthenticated          the caller has not said who it is
├── ScopeMissing             the caller may not do this
├── TooLarge                 a payload is over the limit
├── CallRateReached, StreamLimitReached   the caller asks for too much at once
├── QueueFull                too many runs wait
├── ConcurrencyLimitReached  as many runs of a key go on as may
├── Conflict                 the run changed meanwhile
├── ServerDraining           the server is about to end
├── StoreUnavailable         the store cannot write now
├── VersionUnsupported       no version is shared
├── ProtocolViolation        a stream's message is out of order
└── DataCorrupt              something stored cannot be read
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One thing that is wrong with one field. `field` is its path in the request, or in the document."""

    field: str
    description: str


class PerdureError(Exception):
    """Base of everything a use case refuses. `reason` is a name in ErrorReason, `metadata` what to branch on."""

    reason: ClassVar[str] = "INTERNAL"
    retry_seconds: float | None = None
    """After how long the same call may succeed, where this error knows better than its kind."""

    def __init__(self, message: str, faults: tuple[FieldFault, ...] = (), **metadata: object) -> None:
        super().__init__(message)
        self.faults = faults
        self.metadata: Mapping[str, str] = {key: str(value) for key, value in metadata.items()}


class FieldInvalid(PerdureError):
    """One or more fields of the request are not acceptable."""

    reason = "FIELD_INVALID"

    def __init__(self, *faults: FieldFault) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.description}" for fault in faults), faults)

    def within(self, outer: str) -> "FieldInvalid":
        """The same, of a message that is a field of another."""
        return FieldInvalid(*(FieldFault(f"{outer}.{fault.field}", fault.description) for fault in self.faults))


def field_invalid(field: str, description: str) -> FieldInvalid:
    """The error for a single field."""
    return FieldInvalid(FieldFault(field, description))


class PageTokenInvalid(PerdureError):
    """The page token cannot be used here."""

    reason = "PAGE_TOKEN_INVALID"

    def __init__(self) -> None:
        description = "unknown, or made for other arguments; begin again without it"
        super().__init__(f"page_token: {description}", (FieldFault("page_token", description),))


class ResumeTokenExpired(PerdureError):
    """Of what came after the resume token something is there no longer."""

    reason = "RESUME_TOKEN_EXPIRED"

    def __init__(self) -> None:
        description = (
            "what came after it is deleted, or the store went back; begin again without it, and ask for a snapshot"
        )
        super().__init__(f"resume_token: {description}", (FieldFault("resume_token", description),))


class PlaybookInvalid(PerdureError):
    """The manifest has faults; `faults` has a path for each."""

    reason = "PLAYBOOK_INVALID"

    def __init__(self, faults: tuple[FieldFault, ...]) -> None:
        first = f"{faults[0].field}: {faults[0].description}" if faults else "it cannot be read"
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(f"the manifest is not valid: {first}{more}", faults)


class NotSupported(PerdureError):
    """This server has no such method."""

    reason = "NOT_SUPPORTED"

    def __init__(self, method: str) -> None:
        super().__init__(f"this server has no method {method}; it is older than its caller", method=method)


class NotFound(PerdureError):
    """Nothing has that name."""

    reason = "NOT_FOUND"

    def __init__(self, resource: str) -> None:
        super().__init__(f"there is no {resource}", resource=resource)


class Deleted(PerdureError):
    """What had that name ended long ago, and was deleted. `deleted_at` is in microseconds since 1970."""

    reason = "DELETED"

    def __init__(self, resource: str, deleted_at: int) -> None:
        time = datetime.datetime.fromtimestamp(deleted_at // 1_000_000, datetime.UTC).isoformat()
        super().__init__(
            f"{resource} had ended long ago and was deleted at {time}", resource=resource, delete_time=time
        )


class Taken(PerdureError):
    """Something else has the name already."""


class AlreadyExists(Taken):
    """The name is taken by something else."""

    reason = "ALREADY_EXISTS"

    def __init__(self, resource: str) -> None:
        super().__init__(f"{resource} exists already; choose another id", resource=resource)


class RequestIdReused(Taken):
    """The request id, or idempotency key, was used for another request."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, field: str, request_id: str) -> None:
        description = f"{request_id!r} was used for another request; choose a new one"
        super().__init__(f"{field}: {description}", (FieldFault(field, description),), request_id=request_id)


class VersionExists(Taken):
    """The playbook version is stored with another digest."""

    reason = "VERSION_EXISTS"

    def __init__(self, resource: str, stored_digest: str, digest: str) -> None:
        message = f"{resource} is stored with digest {stored_digest}; a version never changes, so raise it"
        super().__init__(message, resource=resource, stored_digest=stored_digest, digest=digest)


class Refused(PerdureError):
    """The state of things does not allow it."""


class DigestMismatch(Refused):
    """The digest given is not the stored one."""

    reason = "DIGEST_MISMATCH"

    def __init__(self, resource: str, stored_digest: str) -> None:
        fault = FieldFault("digest", f"is not that of {resource}, which is {stored_digest}")
        super().__init__(f"digest: {fault.description}", (fault,), resource=resource, stored_digest=stored_digest)


class PublicationForbids(Refused):
    """The version's publication does not allow it."""

    reason = "PUBLICATION_STATE"

    def __init__(self, resource: str, publication: str, way_out: str) -> None:
        super().__init__(f"{resource} is {publication}; {way_out}", resource=resource, publication=publication)


class PolicyForbids(Refused):
    """The version does not meet what the environment's policy demands."""

    reason = "POLICY_FORBIDS"

    def __init__(self, resource: str, rules: Sequence[str], why: str) -> None:
        super().__init__(f"{resource} does not meet the policy: {why}", resource=resource, rules=",".join(rules))


class EvidenceUnresolved(Refused):
    """Evidence of a kind that the server resolves names nothing."""

    reason = "EVIDENCE_UNRESOLVED"

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(
            f"evidence: there is no {kind} {id!r}",
            (FieldFault("evidence", f"there is no {kind} {id!r}"),),
            kind=kind,
            id=id,
        )


class ProviderNotConfigured(Refused):
    """No connected executor has the provider configured."""

    reason = "PROVIDER_NOT_CONFIGURED"

    def __init__(self, provider: str, setting: str) -> None:
        message = f"no connected executor has the provider {provider!r} configured; {setting}"
        super().__init__(message, provider=provider, setting=setting)


class RunStateForbids(Refused):
    """The run's state does not allow it."""

    reason = "RUN_STATE"

    def __init__(self, run: str, state: str, way_out: str) -> None:
        super().__init__(f"{run} is {state}; {way_out}", run=run, state=state)


class StopStands(Refused):
    """Another stop stands."""

    reason = "STOP_STANDS"

    def __init__(self, run: str, standing: str) -> None:
        super().__init__(
            f"{run} is already asked to stop ({standing}); only a cancel replaces it", run=run, standing=standing
        )


class AnswerStale(Refused):
    """The run has moved on since what the request answers."""

    reason = "ANSWER_STALE"

    def __init__(self, run: str, answered: int, current: int) -> None:
        fault = FieldFault("answers_sequence", f"is {answered}; what there is to answer now is {current}")
        super().__init__(
            f"answers_sequence {fault.description}: read {run} again",
            (fault,),
            run=run,
            answered_sequence=answered,
            sequence=current,
        )


class ContinueNeeds(Refused):
    """Going on needs more than was given."""

    reason = "CONTINUE_NEEDS"

    def __init__(self, run: str, needs: str, description: str) -> None:
        super().__init__(f"{run}: {description}", (FieldFault(needs, description),), run=run, needs=needs)


class NotHeld(Refused):
    """No operator holds the run."""

    reason = "NOT_HELD"

    def __init__(self, run: str, holds: str, way_out: str) -> None:
        super().__init__(f"no operator holds {run}; {way_out}", run=run, holds=holds)


class ParentDoesNotWait(Refused):
    """The run that started this one does not wait for its end any more."""

    reason = "PARENT_DOES_NOT_WAIT"

    def __init__(self, run: str, parent_run: str, state: str) -> None:
        message = f"{parent_run}, which is {state}, does not wait for {run} any more; continue {parent_run} instead"
        super().__init__(message, run=run, parent_run=parent_run, state=state)


class NotInDoubt(Refused):
    """The instance has no effect in doubt."""

    reason = "NOT_IN_DOUBT"

    def __init__(self, run: str, instance: str) -> None:
        super().__init__(f"{instance} of {run} has no effect in doubt", run=run, instance=instance)


class ReportUnseen(Refused):
    """A report arrived that the operator has not seen."""

    reason = "REPORT_UNSEEN"

    def __init__(self, run: str, instance: str, sequence: int) -> None:
        fault = FieldFault("report_sequence", f"the latest report about {instance} is {sequence}; read it first")
        super().__init__(
            f"report_sequence: {fault.description}", (fault,), run=run, instance=instance, report_sequence=sequence
        )


class EffectMayRun(Refused):
    """The effect may still be under way at an executor that cannot be reached, or cannot end it."""

    reason = "EFFECT_MAY_RUN"

    def __init__(self, run: str, instance: str, seconds: int) -> None:
        message = f"{instance} of {run} may still run at its executor; say so again when it reports, or in {seconds} s"
        super().__init__(message, run=run, instance=instance, seconds=seconds)
        self.retry_seconds = seconds


class ApprovalClosed(Refused):
    """The approval can no longer be decided."""

    reason = "APPROVAL_CLOSED"

    def __init__(self, approval: str, state: str, close_reason: str) -> None:
        message = f"{approval} is {state} and can no longer be decided"
        if close_reason != state:
            message = f"{message}: {close_reason.lower().replace('_', ' ')}"
        super().__init__(message, approval=approval, state=state, close_reason=close_reason)


class ApprovalDecided(Refused):
    """The approval is decided otherwise."""

    reason = "APPROVAL_DECIDED"

    def __init__(self, approval: str, decision: str) -> None:
        super().__init__(f"{approval} is decided already: {decision}", approval=approval, decision=decision)


class ApprovalVoted(Refused):
    """The caller has voted before, and otherwise."""

    reason = "APPROVAL_VOTED"

    def __init__(self, approval: str) -> None:
        super().__init__(f"you have said something else about {approval}; nobody votes twice", approval=approval)


class DecisionNotAllowed(PerdureError):
    """The approval does not accept that decision."""

    reason = "DECISION_NOT_ALLOWED"

    def __init__(self, approval: str, allowed: str) -> None:
        super().__init__(
            f"decision: {approval} accepts {allowed}",
            (FieldFault("decision", f"accepts {allowed}"),),
            approval=approval,
            allowed=allowed,
        )


class TokenMismatch(PerdureError):
    """The token was not made for this request."""

    reason = "TOKEN_MISMATCH"

    def __init__(self, approval: str) -> None:
        description = "was not made for this request as it is now; get the approval again and look at it"
        super().__init__(f"token: {description}", (FieldFault("token", description),), approval=approval)


class CallerFault(StrEnum):
    """Why a caller is not known by what it gives."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    REVOKED = "revoked"
    UNMAPPED = "unmapped"


class Unauthenticated(PerdureError):
    """The server asks callers who they are, and this one has not said so in a way that it takes.

    What was given as a key is never in it.
    """

    reason = "UNAUTHENTICATED"

    def __init__(self, cause: CallerFault) -> None:
        super().__init__(f"this server asks its callers who they are: {_WAYS_OUT[cause]}", cause=cause.value)


_WAYS_OUT = {
    CallerFault.MISSING: "the call has no key; give one as PERDURE_KEY, --key-file, or authorization: Bearer KEY",
    CallerFault.UNREADABLE: "what the call has as a key is none; a key begins with perdure_ and is given whole",
    CallerFault.UNKNOWN: "it does not know this key, or no longer; look whether it is this server's, and was not rotated",
    CallerFault.EXPIRED: "this key has expired; an admin can rotate it with a new expiry",
    CallerFault.UNMAPPED: "no role is given to who the caller is by its certificate or token; roles are given in"
    " tls_client_roles and jwt_roles",
    CallerFault.REVOKED: "this key is revoked; ask an admin for another",
}


class DeciderNotAllowed(PerdureError):
    """Somebody else is to decide."""

    reason = "DECIDER_NOT_ALLOWED"

    def __init__(self, approval: str, rule: str, why: str) -> None:
        super().__init__(f"{approval} is for others to decide: {why}", approval=approval, rule=rule)


class NotRequester(PerdureError):
    """Somebody else has asked."""

    reason = "NOT_REQUESTER"

    def __init__(self, approval: str) -> None:
        message = f"{approval} is withdrawn by whoever started its flow, or by an admin"
        super().__init__(message, approval=approval)


class RemarksFull(PerdureError):
    """People have said, and delegated, as much of an approval as they may."""

    reason = "REMARKS_FULL"

    def __init__(self, approval: str, limit: int) -> None:
        message = f"{approval} has been commented on and delegated {limit} times, which are the most"
        super().__init__(message, approval=approval, limit=limit)


class ScopeMissing(PerdureError):
    """The RPC declares no scope, or the caller's role lacks it."""

    reason = "SCOPE_MISSING"

    def __init__(self, method: str, scope: str = "", role: str = "") -> None:
        message = f"{method} needs the scope {scope}, which the role {role} has not"
        if not scope:
            message = f"{method} declares no scope, so nobody may call it"
        super().__init__(message, scope=scope, role=role)


class TooLarge(PerdureError):
    """A payload is over the limit."""

    reason = "PAYLOAD_TOO_LARGE"

    def __init__(self, field: str, size: int, limit: int) -> None:
        description = f"has {size} bytes; the limit is {limit}"
        super().__init__(f"{field} {description}", (FieldFault(field, description),), limit_bytes=limit, bytes=size)


class CallRateReached(PerdureError):
    """A caller makes more calls than it may."""

    reason = "CALL_RATE_REACHED"

    def __init__(self, principal: str, limit: str, retry_seconds: float = 1.0) -> None:
        message = f"{principal} may make {limit} calls a second, and has made them"
        super().__init__(message, principal=principal, limit=limit)
        self.retry_seconds = retry_seconds


class StreamLimitReached(PerdureError):
    """A caller has as many streams open as it may."""

    reason = "STREAM_LIMIT_REACHED"

    def __init__(self, principal: str, limit: int) -> None:
        message = f"{principal} has {limit} streams open, and may have no more; end one"
        super().__init__(message, principal=principal, limit=limit)


class QueueFull(PerdureError):
    """Too many runs wait for an executor: of a queue, or, where none is named, of all."""

    reason = "QUEUE_FULL"

    def __init__(self, queue: str, limit: int, count: int) -> None:
        where = f" in the queue {queue}" if queue else ""
        message = f"{count} runs wait for an executor{where}, and {limit} may; start again when some have gone"
        super().__init__(message, queue=queue, limit=limit, count=count)


class ConcurrencyLimitReached(PerdureError):
    """As many runs of a key go on, or are about to, as may, and its playbook has others refused."""

    reason = "CONCURRENCY_LIMIT_REACHED"

    def __init__(self, key: str, limit: int, runs: Sequence[str]) -> None:
        message = f"{len(runs)} of at most {limit} runs of the concurrency key {key!r} go on: {', '.join(runs[:3])}"
        more = "" if len(runs) <= 3 else ", …"
        first = ",".join(runs[:3])
        message += f"{more}; start again when one has ended"
        super().__init__(message, key=key, limit=limit, count=len(runs), runs=first)


class InboxFull(PerdureError):
    """A run keeps as many signals that nothing has taken as it may."""

    reason = "INBOX_FULL"

    def __init__(self, run: str, limit: int) -> None:
        message = f"{run} keeps {limit} signals that nothing has taken; send more when some are"
        super().__init__(message, run=run, limit=limit)


class Conflict(PerdureError):
    """The run changed between reading and writing."""

    reason = "CONFLICT"

    def __init__(self, run: str) -> None:
        super().__init__(f"{run} changed meanwhile; read it again and repeat", run=run)


class ServerDraining(PerdureError):
    """The server is about to end, or has not begun."""

    reason = "SERVER_DRAINING"

    def __init__(self) -> None:
        super().__init__("the server is stopping; connect again, here or at another")


class StoreUnavailable(PerdureError):
    """The store cannot write now. `description` is one plain sentence; `one_row` says that another transaction has had a
    row for too long, and nothing else is concerned."""

    reason = "STORE_UNAVAILABLE"

    def __init__(self, store: str, description: str, *, one_row: bool = False) -> None:
        super().__init__(description, store=store)
        self.one_row = one_row


class VersionUnsupported(PerdureError):
    """No protocol or fold version is shared."""

    reason = "VERSION_UNSUPPORTED"

    def __init__(self, what: str, supported: str) -> None:
        super().__init__(f"no {what} version is shared; this server supports {supported}", supported=supported)


class ProtocolViolation(PerdureError):
    """A stream's message is out of order or contradicts what was said before."""

    reason = "PROTOCOL_VIOLATION"


class DataCorrupt(PerdureError):
    """Something stored cannot be read. `sequence` is the event's, or 0 where it is none."""

    reason = "DATA_CORRUPT"

    def __init__(self, resource: str, description: str, sequence: int = 0) -> None:
        super().__init__(f"{resource} cannot be read: {description}", resource=resource)
        self.sequence = sequence

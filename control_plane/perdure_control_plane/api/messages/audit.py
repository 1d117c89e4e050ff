"""Audit events, and their chain, as messages."""

from perdure.audit.chain import SealedEvent, SignedHead
from perdure.v1 import audit_pb2
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.audit import ChainHead
from perdure_control_plane.usecases.export_audit import Piece


def event(sealed: SealedEvent) -> audit_pb2.AuditEvent:
    """An event, with its place where it has one."""
    told = sealed.event
    return audit_pb2.AuditEvent(
        name=f"auditEvents/{told.event_id}",
        record_time=timestamp(told.recorded_at),
        type=told.type,
        principal=told.principal,
        authenticated=told.authenticated,
        peer=told.peer,
        method=told.method,
        resource=told.resource,
        outcome=audit_pb2.AuditEvent.Outcome.Value(f"OUTCOME_{told.outcome}"),
        reason=told.reason,
        request_id=told.request_id,
        details=told.details,
        position=sealed.position,
        previous_hash=sealed.previous_hash,
        hash=sealed.hash,
    )


def signed_head(signed: SignedHead) -> audit_pb2.SignedAuditHead:
    """A signed head."""
    return audit_pb2.SignedAuditHead(
        position=signed.position,
        hash=signed.hash,
        sign_time=timestamp(signed.signed_at),
        public_key=signed.public_key,
        signature=signed.signature,
    )


def head(value: ChainHead, public_key: bytes) -> audit_pb2.AuditHead:
    """How far the chain is; the key is the one that this server signs with."""
    return audit_pb2.AuditHead(
        position=value.position,
        hash=value.hash,
        unsealed_events=value.unsealed_events,
        pruned_position=value.pruned_position,
        signed_head=signed_head(value.signed) if value.signed is not None else None,
        public_key=public_key,
    )


def piece(value: Piece, public_key: bytes) -> audit_pb2.ExportAuditEventsResponse:
    """One piece of an export."""
    match value:
        case SealedEvent():
            return audit_pb2.ExportAuditEventsResponse(event=event(value))
        case SignedHead():
            return audit_pb2.ExportAuditEventsResponse(signed_head=signed_head(value))
        case ChainHead():
            return audit_pb2.ExportAuditEventsResponse(end=head(value, public_key))

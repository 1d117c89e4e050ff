"""Playbooks as messages."""

from perdure.v1 import playbooks_pb2
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.playbook import Evidence, Playbook, PlaybookVersion, Publication, PublicationChange
from perdure_control_plane.manifests.conversion.conversion import Conversion, Converted
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.review import Review


def playbook(value: Playbook) -> playbooks_pb2.Playbook:
    """A playbook with its versions."""
    latest, active = value.versions[0], value.active
    return playbooks_pb2.Playbook(
        name=f"playbooks/{value.playbook_id}",
        title=latest.title,
        latest_version=latest.name,
        active_version=active.name if active is not None else "",
        versions=[playbook_version(version) for version in value.versions],
        create_time=timestamp(value.created_at),
    )


def playbook_summary(value: Playbook) -> playbooks_pb2.Playbook:
    """A playbook without its versions."""
    message = playbook(value)
    message.ClearField("versions")
    return message


def playbook_version(value: PlaybookVersion) -> playbooks_pb2.PlaybookVersion:
    """A version; with its document where it was read."""
    latest = value.history[-1].evidence if value.history else ()
    return playbooks_pb2.PlaybookVersion(
        name=value.name,
        digest=value.digest,
        plan_digest=value.plan_digest.hex(),
        title=value.title,
        objective=value.objective,
        publication=publication(value.publication),
        evidence=[evidence(reference) for reference in latest],
        history=[_change(change) for change in value.history],
        document=playbooks_pb2.PlaybookDocument(text=value.document) if value.document else None,
        create_time=timestamp(value.created_at),
        update_time=timestamp(value.updated_at),
        author=value.author,
    )


def publication(value: Publication) -> playbooks_pb2.Publication.ValueType:
    """A publication."""
    return playbooks_pb2.Publication.Value(f"PUBLICATION_{value}")


def evidence(value: Evidence) -> playbooks_pb2.Evidence:
    """A reference to evidence."""
    return playbooks_pb2.Evidence(kind=value.kind, id=value.id, description=value.description)


def validation(value: Review) -> playbooks_pb2.ValidatePlaybookResponse:
    """The result of a check."""
    return playbooks_pb2.ValidatePlaybookResponse(
        valid=not value.errors,
        digest=value.digest,
        errors=[_diagnostic(diagnostic) for diagnostic in value.errors],
        warnings=[_diagnostic(diagnostic) for diagnostic in value.warnings],
        playbook_id=value.playbook_id,
        version=value.version,
    )


def conversion(value: Conversion) -> playbooks_pb2.ConvertPlaybookResponse:
    """The result of a conversion."""
    source = f"SOURCE_FORMAT_{value.source.name if value.source else 'UNSPECIFIED'}"
    return playbooks_pb2.ConvertPlaybookResponse(
        document=playbooks_pb2.PlaybookDocument(text=value.text) if value.text else None,
        source=playbooks_pb2.SourceFormat.Value(source),
        losses=[_diagnostic(diagnostic) for diagnostic in value.losses],
        changes=[_diagnostic(diagnostic) for diagnostic in value.changes],
        review=validation(value.review) if value.review else None,
        children=[_converted(child) for child in value.children],
    )


def _converted(value: Converted) -> playbooks_pb2.ConvertedPlaybook:
    document = playbooks_pb2.PlaybookDocument(text=value.text)
    return playbooks_pb2.ConvertedPlaybook(document=document, review=validation(value.review))


def _change(value: PublicationChange) -> playbooks_pb2.PublicationChange:
    return playbooks_pb2.PublicationChange(
        previous=publication(value.previous),
        current=publication(value.current),
        evidence=[evidence(reference) for reference in value.evidence],
        reason=value.reason,
        actor=value.actor,
        change_time=timestamp(value.changed_at),
    )


def _diagnostic(value: Diagnostic) -> playbooks_pb2.Diagnostic:
    return playbooks_pb2.Diagnostic(path=value.path, code=value.code, reason=value.reason)

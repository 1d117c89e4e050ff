"""What a document for another system is written in, as a request says it."""

from typing import Final

from perdure.v1 import playbooks_pb2
from perdure_control_plane.domain.errors import field_invalid
from perdure_control_plane.manifests.conversion.conversion import SourceFormat

_FORMATS: Final = {
    playbooks_pb2.SOURCE_FORMAT_UNSPECIFIED: None,
    playbooks_pb2.SOURCE_FORMAT_CANTBOOK: SourceFormat.CANTBOOK,
    playbooks_pb2.SOURCE_FORMAT_WORKFLOW: SourceFormat.WORKFLOW,
}


def source_format(message: playbooks_pb2.SourceFormat.ValueType) -> SourceFormat | None:
    """The format; None where it is to be found out. Raises FieldInvalid."""
    if message not in _FORMATS:
        raise field_invalid("source", f"{message} is unknown to this server")
    return _FORMATS[message]

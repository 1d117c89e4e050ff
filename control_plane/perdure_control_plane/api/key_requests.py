"""Requests about keys as commands."""

from typing import Final

from google.protobuf.duration_pb2 import Duration

from perdure.v1 import keys_pb2, roles_pb2
from perdure_control_plane.api import names, requests
from perdure_control_plane.domain.api_key import USUAL_OVERLAP
from perdure_control_plane.domain.errors import field_invalid
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.usecases.create_key import NewKey
from perdure_control_plane.usecases.rotate_key import Rotating

MOST_OVERLAP: Final = 30 * 24 * 3600 * SECOND


def creating(request: keys_pb2.CreateKeyRequest) -> NewKey:
    """What key is to be made. Raises FieldInvalid."""
    return NewKey(
        key_name=names.chosen_id(request.key, "key"),
        role=_role(request.role),
        time_to_live=_time_to_live(request),
        request_id=requests.request_id(request.request_id),
    )


def rotating(request: keys_pb2.RotateKeyRequest) -> Rotating:
    """Which key gets a new text. Raises FieldInvalid."""
    return Rotating(
        key_name=names.key(request.name),
        overlap=_overlap(request.overlap) if request.HasField("overlap") else USUAL_OVERLAP,
        time_to_live=_time_to_live(request),
        request_id=requests.request_id(request.request_id),
    )


def _role(number: roles_pb2.Role.ValueType) -> Role:
    words = [role.value.lower() for role in Role]
    if number == roles_pb2.ROLE_UNSPECIFIED:
        raise field_invalid("role", f"is required: one of {', '.join(words)}")
    if number not in roles_pb2.Role.values():
        raise field_invalid("role", f"{number} is unknown to this server; it is one of {', '.join(words)}")
    return Role(roles_pb2.Role.Name(number).removeprefix("ROLE_"))


def _time_to_live(request: keys_pb2.CreateKeyRequest | keys_pb2.RotateKeyRequest) -> int:
    if not request.HasField("time_to_live"):
        return 0
    return requests.positive_micros(request.time_to_live, "time_to_live")


def _overlap(value: Duration) -> int:
    micros = value.ToMicroseconds()
    if not 0 <= micros <= MOST_OVERLAP:
        raise field_invalid("overlap", "is negative" if micros < 0 else "is longer than 30 days")
    return micros

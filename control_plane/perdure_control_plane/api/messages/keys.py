"""Keys and callers as messages."""

from perdure.v1 import identities_pb2, keys_pb2, roles_pb2, scopes_pb2
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.api_key import ApiKey
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.roles import Role


def key(value: ApiKey, at: int) -> keys_pb2.Key:
    """What is known of a key, as it is at a time."""
    overlaps = value.previous_until > at and not value.revoked_at
    return keys_pb2.Key(
        name=value.name,
        key_id=value.key_id,
        role=_role(value.role),
        state=keys_pb2.Key.State.Value(f"STATE_{value.state(at).value}"),
        create_time=timestamp(value.created_at),
        creator=value.created_by,
        expire_time=timestamp(value.expires_at),
        rotate_time=timestamp(value.rotated_at),
        previous_text_expire_time=timestamp(value.previous_until if overlaps else 0),
        revoke_time=timestamp(value.revoked_at),
        revoker=value.revoked_by,
    )


def identity(caller: Caller) -> identities_pb2.Identity:
    """Who calls."""
    return identities_pb2.Identity(
        principal=caller.principal,
        authenticated=caller.authenticated,
        role=_role(caller.role) if caller.role is not None else roles_pb2.ROLE_UNSPECIFIED,
        scopes=sorted(scopes_pb2.Scope.Value(f"SCOPE_{scope.value}") for scope in caller.scopes),
        expire_time=timestamp(caller.expires_at),
    )


def _role(role: Role) -> roles_pb2.Role.ValueType:
    return roles_pb2.Role.Value(f"ROLE_{role.value}")

"""The policy as a message."""

from perdure.v1 import policies_pb2
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.policy import Policy


def policy(value: Policy) -> policies_pb2.Policy:
    """The value."""
    return policies_pb2.Policy(
        block_warnings=value.block_warnings,
        blocked_warnings=value.blocked_warnings,
        require_review=value.require_review,
        require_approval=value.require_approval,
        update_time=timestamp(value.updated_at),
        updater=value.updated_by,
        update_reason=value.reason,
    )

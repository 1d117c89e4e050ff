"""Requests about the policy as commands."""

from perdure.v1 import policies_pb2
from perdure_control_plane.api.requests import reason, request_id
from perdure_control_plane.domain.errors import field_invalid
from perdure_control_plane.manifests.diagnostics import WARNINGS
from perdure_control_plane.usecases.update_policy import PolicyUpdate


def policy_update(request: policies_pb2.UpdatePolicyRequest) -> PolicyUpdate:
    """What is to be set. Raises FieldInvalid."""
    asked = PolicyUpdate(
        block_warnings=request.block_warnings if request.HasField("block_warnings") else None,
        blocked_warnings=_codes(request.blocked_warnings) if request.HasField("blocked_warnings") else None,
        require_review=request.require_review if request.HasField("require_review") else None,
        require_approval=request.require_approval if request.HasField("require_approval") else None,
        reason=reason(request.reason),
        request_id=request_id(request.request_id),
    )
    if {asked.block_warnings, asked.blocked_warnings, asked.require_review, asked.require_approval} == {None}:
        demands = "block_warnings, blocked_warnings, require_review, require_approval"
        raise field_invalid("block_warnings", f"or another demand is required: name one of {demands}")
    return asked


def _codes(given: policies_pb2.WarningCodes) -> tuple[str, ...]:
    for index, code in enumerate(given.codes):
        if code not in WARNINGS:
            raise field_invalid(f"blocked_warnings.codes[{index}]", f"is one of {', '.join(sorted(WARNINGS))}")
    return tuple(sorted(set(given.codes)))

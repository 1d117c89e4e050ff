"""Flows as messages."""

from google.protobuf.struct_pb2 import Struct

from perdure.v1 import flows_pb2, instances_pb2
from perdure_control_plane.api.messages.playbooks import evidence
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.flow import ContractCheck, FlowStatus, FlowView
from perdure_control_plane.domain.playbook import version_name


def flow(view: FlowView) -> flows_pb2.Flow:
    """A flow as it is at one reading."""
    value = view.flow
    root = next((run for run in view.runs if run.run_id == value.root_run_id), None)
    metadata = Struct()
    metadata.update(value.metadata)
    message = flows_pb2.Flow(
        name=value.name,
        idempotency_key=value.idempotency_key,
        playbook_version=version_name(value.playbook_id, value.version),
        digest=value.digest,
        session=f"sessions/{value.session_id}",
        root_run=f"runs/{value.root_run_id}",
        status=flows_pb2.Flow.Status.Value(f"STATUS_{view.status}"),
        decided_by=view.decided_by,
        settled=view.settled,
        primitive_refs=flows_pb2.PrimitiveRefs(
            runs=[run.name for run in view.runs],
            tasks=view.tasks,
            agents=[f"agents/{agent}" for agent in view.agents],
            approvals=[f"approvals/{approval}" for approval in view.approvals],
        ),
        metadata=metadata,
        request_digest=value.request_digest.hex(),
        source=flows_pb2.RequestSource(
            source_plugin=value.source.source_plugin,
            source_kind=value.source.source_kind,
            actor_id=value.source.actor_id,
        ),
        create_time=timestamp(value.created_at),
        end_time=timestamp(root.head.ended_at) if root is not None else None,
    )
    if view.contract:
        message.contract.CopyFrom(_contract(view.contract))
    decided = next((run for run in view.runs if run.name == view.decided_by), None)
    if view.status is FlowStatus.FAILED:
        if decided is not None:
            message.failure_cause = decided.head.failure_cause  # type: ignore[assignment]  # stored as its number
            message.failure_message = decided.head.failure_message
        else:
            message.failure_cause = instances_pb2.FAILURE_CAUSE_CONTRACT_NOT_MET
            message.failure_message = "required evidence is missing"
    return message


def _contract(checks: tuple[ContractCheck, ...]) -> flows_pb2.Contract:
    return flows_pb2.Contract(
        passed=all(check.passed for check in checks),
        checks=[flows_pb2.ContractCheck(evidence=evidence(check.evidence), passed=check.passed) for check in checks],
    )

"""Ids of runs and leases in what executors say."""

from collections.abc import Iterator

from perdure.runlog.instances import NAME
from perdure.v1.execution_pb2 import WorkRequest
from perdure_control_plane.domain.errors import ProtocolViolation


def check_ids(request: WorkRequest) -> None:
    """Raises ProtocolViolation where an id is none that a server gives out: no store is asked for it, and no server told."""
    for field, value in _ids(request):
        if NAME.fullmatch(value) is None:
            raise ProtocolViolation(f"{field}: is not 1 to 128 of letters, digits, '.', '_' and '-'")


def _ids(request: WorkRequest) -> Iterator[tuple[str, str]]:
    for batch in request.batches:
        yield "batches.run_id", batch.run_id
        yield "batches.lease_id", batch.lease_id
    for held in request.heartbeat.held:
        yield "heartbeat.held.run_id", held.run_id
        yield "heartbeat.held.lease_id", held.lease_id
    for report in request.late_reports:
        yield "late_reports.run_id", report.run_id
        yield "late_reports.report.lease_id", report.report.lease_id
    for lost in request.went_back:
        yield "went_back.run_id", lost.run_id
        yield "went_back.lease_id", lost.lease_id

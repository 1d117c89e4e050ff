"""Ids in what executors say: what no server gave out is out of order, whatever it stands in."""

from typing import Any

import pytest

from perdure.v1.execution_pb2 import EventBatch, Heartbeat, HeldRun, LateReport, StoreWentBack, WorkRequest
from perdure.v1.fact_events_pb2 import LateReported
from perdure_control_plane.api.work.ids import check_ids
from perdure_control_plane.domain.errors import ProtocolViolation


def said(**changed: str) -> WorkRequest:
    """Everything that an executor may say of a run, with ids that are right but for those that are given."""

    def ids(part: str) -> dict[str, Any]:
        return {name: changed.get(f"{part}_{name}", "a-b.c_1") for name in ("run_id", "lease_id")}

    late = ids("report")
    report = LateReport(run_id=late["run_id"], report=LateReported(lease_id=late["lease_id"]))
    return WorkRequest(
        batches=[EventBatch(**ids("batch"))],
        heartbeat=Heartbeat(held=[HeldRun(**ids("held"))]),
        late_reports=[report],
        went_back=[StoreWentBack(**ids("lost"))],
    )


def test_ids_that_a_server_gives_out_pass() -> None:
    check_ids(said())
    check_ids(WorkRequest())


@pytest.mark.parametrize("id", ["", "a" * 129, "a\0b", "a b", "runs/a", "a\n"])
@pytest.mark.parametrize("name", ["run_id", "lease_id"])
@pytest.mark.parametrize("part", ["batch", "held", "report", "lost"])
def test_an_id_that_is_none_is_named_by_its_field(part: str, name: str, id: str) -> None:
    with pytest.raises(ProtocolViolation, match=rf"{name}: is not 1 to 128"):
        check_ids(said(**{f"{part}_{name}": id}))

"""A request that is repeated under its id does nothing and is answered alike; the id stands for no other request."""

import pathlib
from typing import Any

import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from perdure.v1 import flows_pb2, runs_pb2
from tests.integration.situations import METHODS, REQUESTS, call, situation


def test_every_call_that_takes_a_request_id_is_tried() -> None:
    assert {name for name, method in METHODS.items() if "request_id" in method.input_type.fields_by_name} == set(
        REQUESTS
    )


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_repeated_request_does_nothing_and_another_under_its_id_is_refused(
    serve: Any, hire: Any, data_dir: pathlib.Path, rows_in: Any, name: str
) -> None:
    here = await situation(name, serve, hire, data_dir)
    service = here.service
    same, other = await REQUESTS[name](here)

    first = await call(here.channel, name, same)
    await settled(service)
    before = rows_in(service.data_dir)
    again = await call(here.channel, name, same)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(here.channel, name, other)

    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status = rpc_status.from_call(refused.value)
    assert status is not None
    assert [detail.Unpack(info) or detail.Unpack(bad) for detail in status.details] == [True, True]
    assert (info.reason, info.metadata["request_id"]) == ("REQUEST_ID_REUSED", "r-1")
    assert [violation.field for violation in bad.field_violations] == ["request_id"]
    assert answered(again) == answered(first)
    assert rows_in(service.data_dir) == before


def answered(message: Any) -> Any:
    """What an answer is about; the rest of it may have gone on since, and a key's text is told once."""
    return getattr(getattr(message, "key", message), "name", message)


async def settled(service: Any) -> None:
    """Follows the flows that go on without anybody to their ends."""
    for flow in (await service.flows.ListFlows(flows_pb2.ListFlowsRequest())).flows:
        run = await service.runs.GetRun(runs_pb2.GetRunRequest(name=flow.root_run))
        if run.queue != "nobody" and flow.status != flows_pb2.Flow.STATUS_WAITING:
            await service.settled(flow)

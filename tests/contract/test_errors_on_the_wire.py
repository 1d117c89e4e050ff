"""Whatever goes wrong with a call, its caller gets one ErrorInfo under Perdure's domain."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.empty_pb2 import Empty
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from perdure.v1 import execution_pb2, execution_pb2_grpc, flows_pb2, playbooks_pb2, runs_pb2, server_pb2, tasks_pb2
from perdure_control_plane.api.mount import interceptor
from perdure_control_plane.domain.errors import FieldFault, FieldInvalid, QueueFull
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.usecases.record_denials import Denials

PATH = "/perdure.v1.RunService/ForgottenScope"


@dataclass
class Failure:
    """What a caller can read of a call that failed."""

    code: grpc.StatusCode
    infos: list[Any]
    fields: list[str]
    retry_seconds: list[float]
    message: str

    @property
    def reason(self) -> str:
        (info,) = self.infos
        assert info.domain == "perdure"
        return str(info.reason)


def failure(error: grpc.aio.AioRpcError) -> Failure:
    status = rpc_status.from_call(error)
    found = Failure(error.code(), [], [], [], error.details() or "")
    for detail in status.details if status is not None else ():
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            found.infos.append(info)
        if detail.Unpack(bad):
            found.fields += [violation.field for violation in bad.field_violations]
        if detail.Unpack(retry):
            found.retry_seconds.append(retry.retry_delay.ToMicroseconds() / 1e6)
    return found


async def failed(call: Awaitable[Any]) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return failure(caught.value)


async def drained(stream: Any) -> list[Any]:
    return [item async for item in stream]


Behaviour = Callable[[Any, Any], Any]
Register = Callable[..., Awaitable[grpc.aio.Channel]]


@pytest.fixture
async def register(stack: Any, store: Any) -> Register:
    """Starts a server with the real interceptor and methods of the test's own."""

    async def start(**behaviours: Behaviour) -> grpc.aio.Channel:
        server = grpc.aio.server(interceptors=[interceptor(Limits(), Denials(store))])
        methods = {
            name: grpc.unary_unary_rpc_method_handler(behaviour, Empty.FromString, Empty.SerializeToString)
            for name, behaviour in behaviours.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("perdure.v1.RunService", methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, None)
        return await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))

    return start


async def answers(request: Any, context: Any) -> Empty:
    return Empty()


def method(channel: grpc.aio.Channel, path: str) -> Any:
    return channel.unary_unary(path, Empty.SerializeToString, Empty.FromString)


async def test_a_method_that_does_not_exist_is_unimplemented_with_a_reason(serve: Any) -> None:
    service = await serve()

    found = await failed(method(service.channel, "/perdure.v1.RunService/Nonesuch")(Empty()))

    assert found.code is grpc.StatusCode.UNIMPLEMENTED
    assert found.reason == "NOT_SUPPORTED"


async def test_a_method_that_declares_no_scope_is_denied_to_everybody(register: Register) -> None:
    channel = await register(ForgottenScope=answers)

    found = await failed(method(channel, PATH)(Empty()))

    assert found.code is grpc.StatusCode.PERMISSION_DENIED
    assert found.reason == "SCOPE_MISSING"
    assert PATH in found.message


async def test_a_method_that_declares_one_is_served(register: Register) -> None:
    channel = await register(GetRun=answers)

    answer = await method(channel, "/perdure.v1.RunService/GetRun")(Empty())

    assert answer == Empty()


async def test_a_program_error_tells_its_caller_nothing_but_where_the_log_has_it(register: Register) -> None:
    async def breaks(request: Any, context: Any) -> Empty:
        raise ZeroDivisionError("the secret ingredient")

    channel = await register(GetRun=breaks)
    found = await failed(method(channel, "/perdure.v1.RunService/GetRun")(Empty()))

    assert found.code is grpc.StatusCode.INTERNAL
    assert found.reason == "INTERNAL"
    assert found.infos[0].metadata["request_id"] in found.message
    assert "secret" not in found.message


async def test_a_refusal_that_passes_says_when_to_come_again(register: Register) -> None:
    async def refuses(request: Any, context: Any) -> Empty:
        raise QueueFull("", 3, 3)

    channel = await register(GetRun=refuses)
    found = await failed(method(channel, "/perdure.v1.RunService/GetRun")(Empty()))

    assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert found.retry_seconds == [1.0]
    assert found.infos[0].metadata["limit"] == "3"


async def test_what_does_not_exist_is_named(serve: Any) -> None:
    service = await serve()

    found = await failed(service.runs.GetRun(runs_pb2.GetRunRequest(name="runs/nobody")))

    assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert found.infos[0].metadata["resource"] == "runs/nobody"


async def test_every_missing_field_is_named_at_once(serve: Any) -> None:
    service = await serve()

    found = await failed(service.flows.StartFlow(flows_pb2.StartFlowRequest(priority=1)))

    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert found.fields == ["playbook_version", "digest", "session", "idempotency_key"]


async def test_a_page_token_of_another_list_is_refused(serve: Any) -> None:
    service = await serve()

    found = await failed(service.runs.ListRuns(runs_pb2.ListRunsRequest(page_token="AAAA")))

    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
    assert found.fields == ["page_token"]


async def test_faults_of_a_manifest_come_with_their_paths(serve: Any) -> None:
    service = await serve()
    document = playbooks_pb2.PlaybookDocument(text=b"playbook_id: p\nversion: 1\ntitle: t\nobjective: o\n")
    request = playbooks_pb2.CreatePlaybookVersionRequest(document=document)

    found = await failed(service.playbooks.CreatePlaybookVersion(request))

    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PLAYBOOK_INVALID")
    assert found.fields == ["version"]


async def test_a_manifest_with_hundreds_of_faults_is_answered_all_the_same(serve: Any) -> None:
    service = await serve()
    faulty = "".join(f"wrong_field_number_{number}: 1\n" for number in range(500))
    request = playbooks_pb2.CreatePlaybookVersionRequest(document=playbooks_pb2.PlaybookDocument(text=faulty.encode()))

    found = await failed(service.playbooks.CreatePlaybookVersion(request))

    assert found.reason == "PLAYBOOK_INVALID"
    assert found.fields


async def test_faults_without_end_in_any_script_fit_into_an_answer(register: Register) -> None:
    async def refuses(request: Any, context: Any) -> Empty:
        raise FieldInvalid(*(FieldFault(f"поле[{number}]" * 100, "чужой" * 1000) for number in range(1000)))

    channel = await register(GetRun=refuses)

    for _ in range(20):  # of trailers that are a little too large, some are accepted
        found = await failed(method(channel, "/perdure.v1.RunService/GetRun")(Empty()))
        assert found.reason == "FIELD_INVALID"
        assert found.fields[0].startswith("поле[0]поле[0]")


async def test_a_name_of_any_length_is_refused_with_a_reason(serve: Any) -> None:
    service = await serve()

    found = await failed(service.runs.GetRun(runs_pb2.GetRunRequest(name="x" * 100_000)))

    assert found.reason == "FIELD_INVALID"
    assert found.fields == ["name"]


async def test_a_stream_fails_with_a_reason_too(serve: Any) -> None:
    service = await serve()

    watch = await failed(drained(service.runs.WatchRun(runs_pb2.WatchRunRequest(name="runs/nobody"))))
    task = "sessions/s/tasks/t"
    output = await failed(drained(service.tasks.ReadTaskOutput(tasks_pb2.ReadTaskOutputRequest(name=task))))

    assert (watch.reason, output.reason) == ("NOT_FOUND", "NOT_FOUND")


async def test_an_executor_that_does_not_say_hello_is_told_so(serve: Any) -> None:
    service = await serve()
    stub: Any = execution_pb2_grpc.ExecutionServiceStub(service.channel)

    async def says() -> AsyncIterator[execution_pb2.WorkRequest]:
        yield execution_pb2.WorkRequest(heartbeat=execution_pb2.Heartbeat(number=1))

    found = await failed(drained(stub.Work(says())))

    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PROTOCOL_VIOLATION")


HELLO: dict[str, Any] = {
    "executor_id": "x", "incarnation": "1", "node_kinds": ["function"], "queues": ["default"], "providers": ["builtin"],
    "protocol": execution_pb2.VersionRange(lowest=1, highest=1), "fold": execution_pb2.VersionRange(lowest=1, highest=1),
    "slots": 1, "version": "1",
}  # fmt: skip
LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"executor_id": ""}, "hello.executor_id"),
        ({"executor_id": LONG}, "hello.executor_id"),
        ({"incarnation": "a b"}, "hello.incarnation"),
        ({"queues": ["default", LONG]}, "hello.queues[1]"),
        ({"queues": ["q"] * 101}, "hello.queues"),
        ({"providers": [""]}, "hello.providers[0]"),
        ({"node_kinds": ["function"] * 101}, "hello.node_kinds"),
        ({"version": LONG}, "hello.version"),
        ({"slots": 0}, "hello.slots"),
    ],
)
async def test_an_executor_that_says_too_much_of_itself_is_refused_by_field(
    serve: Any, change: dict[str, Any], field: str
) -> None:
    service = await serve()
    stub: Any = execution_pb2_grpc.ExecutionServiceStub(service.channel)
    hello = execution_pb2.Hello(**{**HELLO, **change})

    found = await failed(drained(stub.Work(iter([execution_pb2.WorkRequest(hello=hello)]))))

    assert (found.reason, found.fields) == ("FIELD_INVALID", [field])
    assert not (await service.server.ListExecutors(server_pb2.ListExecutorsRequest())).executors

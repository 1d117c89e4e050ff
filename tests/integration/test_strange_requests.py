"""What executors ask people, where nobody could answer it or somebody else was to be asked: refused as it comes."""

from typing import Any

import pytest

from perdure.runlog.effects import approval_id
from perdure.runlog.instances import Instance, Step
from perdure.v1 import (
    approval_facts_pb2,
    execution_pb2,
    fact_events_pb2,
    node_events_pb2,
)
from perdure.v1.run_events_pb2 import RunEvent
from tests.integration.test_work_stream import PLAYBOOK


async def test_an_approval_under_an_id_that_is_not_its_attempt_s_is_refused(serve: Any, play: Any) -> None:
    service = await serve()
    await service.start(PLAYBOOK)
    executor = await play(service)
    run = await executor.take()
    asked = approval_facts_pb2.ApprovalWait(
        approval_id="another", subject_digest=bytes(32), nonce="n", kind="APPROVAL_KIND_APPROVE",
        allowed=["DECISION_KIND_APPROVED"], quorum=1, on_timeout="ON_TIMEOUT_FAIL",
    )  # fmt: skip
    opened = fact_events_pb2.WaitOpened(
        instance=Instance((Step("a", 1),), 1).message(), approval=asked, timeout={"seconds": 60}
    )

    answer = await executor.append(run, 1, RunEvent(wait_opened=opened))

    assert answer.refused.reason == execution_pb2.REFUSAL_REASON_MALFORMED
    assert "not its attempt's" in answer.refused.message


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"approval_id": "another"}, "not its attempt's"),
        ({"question": ""}, "has no name"),
        ({"content_schema": b"{"}, "no JSON"),
        ({"content_schema": b"7"}, "no object"),
        ({"content_schema": b"[" * 5000}, "no JSON, or nested too deep"),
        ({"allowed": ["DECISION_KIND_APPROVED"]}, "not for one of its options, or a value"),
        ({"options": ["a"]}, "options, or a value"),
        ({"nonce": ""}, "a nonce"),
    ],
)
async def test_a_question_that_nobody_could_answer_is_refused(
    serve: Any, play: Any, wrong: dict[str, Any], said: str
) -> None:
    service = await serve()
    await service.start(PLAYBOOK)
    executor = await play(service)
    run = await executor.take()
    where = Instance((Step("a", 1),), 1)
    right: dict[str, Any] = {
        "approval_id": approval_id(run.run_id, where), "subject_digest": bytes(32), "nonce": "n", "quorum": 1,
        "kind": "APPROVAL_KIND_INPUT", "allowed": ["DECISION_KIND_PROVIDED", "DECISION_KIND_REJECTED"],
        "on_timeout": "ON_TIMEOUT_FAIL", "question": "q", "content_schema": b"{}",
    }  # fmt: skip
    question = {"approval": right | wrong, "timeout": {"seconds": 60}}
    settled = node_events_pb2.NodeSettled(
        instance=where.message(),
        effect="EFFECT_NONE",
        outcome="OUTCOME_ASKED",
        output_digest=bytes(32),
        question=question,
    )

    answer = await executor.append(run, 1, RunEvent(node_settled=settled))

    assert answer.refused.reason == execution_pb2.REFUSAL_REASON_MALFORMED
    assert said in answer.refused.message

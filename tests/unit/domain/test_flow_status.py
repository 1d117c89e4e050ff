"""What the runs of a flow make of it: the first status that any run speaks for, and the run that does."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from perdure.runlog.head import Hold, RunHead
from perdure.runlog.states import RunState
from perdure_control_plane.domain.flow import ContractCheck, Flow, FlowStatus, RequestSource, flow_verdict, is_settled
from perdure_control_plane.domain.ids import FlowId, PlaybookId, Principal, RunId, SessionId
from perdure_control_plane.domain.playbook import Evidence
from perdure_control_plane.domain.run import Run, RunIdentity

FLOW = Flow(
    flow_id=FlowId("f"), idempotency_key="k", principal=Principal("p"), playbook_id=PlaybookId("pb"), version="1",
    digest="d", session_id=SessionId("s"), root_run_id=RunId("root"), request_digest=b"", metadata={},
    source=RequestSource(), created_at=1,
)  # fmt: skip

# From the one that has most weight: each state of a run, and what it makes of the flow.
BY_WEIGHT = [
    (RunState.FAILED, FlowStatus.FAILED),
    (RunState.CANCELLED, FlowStatus.CANCELLED),
    (RunState.PAUSED, FlowStatus.WAITING),
    (RunState.RUNNING, FlowStatus.RUNNING),
    (RunState.MOVED, FlowStatus.MOVED),
    (RunState.INTERRUPTED, FlowStatus.INTERRUPTED),
    (RunState.COMPLETED, FlowStatus.SUCCEEDED),
]
SAME = [(RunState.EXPIRED, FlowStatus.FAILED), (RunState.TIMED_OUT, FlowStatus.FAILED),
        (RunState.QUEUED, FlowStatus.RUNNING)]  # fmt: skip

Make = Callable[..., Run]


@pytest.fixture
def run() -> Make:
    """Makes a run of the flow."""

    def make(name: str, state: RunState, **head: Any) -> Run:
        identity: dict[str, Any] = dict.fromkeys(RunIdentity.__dataclass_fields__)
        standing = RunHead()
        for field, value in {"state": state, **head}.items():
            setattr(standing, field, value)
        return Run(RunIdentity(**identity | {"run_id": RunId(name)}), standing)

    return make


@pytest.mark.parametrize(("state", "status"), [*BY_WEIGHT, *SAME])
def test_the_root_speaks_where_it_is_alone(run: Make, state: RunState, status: FlowStatus) -> None:
    verdict = flow_verdict(FLOW, [run("root", state)], ())

    assert (verdict.status, verdict.decided_by) == (status, "runs/root")


@pytest.mark.parametrize("index", range(len(BY_WEIGHT) - 1))
def test_the_run_of_most_weight_decides_and_is_named(run: Make, index: int) -> None:
    (heavier, status), (lighter, _) = BY_WEIGHT[index], BY_WEIGHT[index + 1]

    root_decides = flow_verdict(FLOW, [run("root", heavier), run("child", lighter)], ())
    child_decides = flow_verdict(FLOW, [run("root", lighter), run("child", heavier)], ())

    assert (root_decides.status, root_decides.decided_by) == (status, "runs/root")
    assert (child_decides.status, child_decides.decided_by) == (status, "runs/child")


def test_a_flow_whose_root_cannot_be_read_is_unknown(run: Make) -> None:
    verdict = flow_verdict(FLOW, [run("child", RunState.FAILED)], ())

    assert (verdict.status, verdict.decided_by) == (FlowStatus.UNKNOWN, "runs/root")


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.INTERRUPTED])
def test_a_flow_waits_while_an_effect_of_it_is_in_doubt(run: Make, state: RunState) -> None:
    assert flow_verdict(FLOW, [run("root", state, in_doubt=1)], ()).status is FlowStatus.WAITING


@pytest.mark.parametrize(
    ("state", "status"),
    [(RunState.RUNNING, FlowStatus.WAITING), (RunState.INTERRUPTED, FlowStatus.INTERRUPTED)],
)
def test_a_flow_waits_while_a_hold_keeps_it_and_not_when_it_has_ended(
    run: Make, state: RunState, status: FlowStatus
) -> None:
    assert flow_verdict(FLOW, [run("root", state, holds=Hold.OPERATOR)], ()).status is status


def test_a_flow_without_the_evidence_that_it_requires_has_failed_though_its_root_completed(run: Make) -> None:
    held = ContractCheck(Evidence("approval", "gate"), passed=True)
    missing = replace(held, passed=False)
    completed = [run("root", RunState.COMPLETED)]

    assert flow_verdict(FLOW, completed, [held]).status is FlowStatus.SUCCEEDED
    assert flow_verdict(FLOW, completed, [held, missing]).status is FlowStatus.FAILED


def test_a_flow_is_settled_when_all_of_its_runs_have_ended(run: Make) -> None:
    ended, open_ = run("root", RunState.FAILED, ended_sequence=9), run("child", RunState.RUNNING)

    assert is_settled([ended])
    assert not is_settled([ended, open_])
    assert not is_settled([])

"""What people are told of a pause."""

import pytest

from perdure.cli.pausing import paused_before
from perdure.v1.fact_events_pb2 import HOLD_CAUSE_OPERATOR, HOLD_CAUSE_TAKEOVER_LIMIT
from perdure.v1.run_recovery_pb2 import RunHold
from perdure.v1.runs_pb2 import Run


@pytest.mark.parametrize(("reason", "told"), [("again", True), ("lunch", False), ("", False)])
def test_whoever_pauses_what_is_paused_is_told_whose_reason_is_kept(reason: str, told: bool) -> None:
    operator = RunHold(cause=HOLD_CAUSE_OPERATOR, actor="ada", reason="lunch")

    lines = paused_before(Run(holds=[RunHold(cause=HOLD_CAUSE_TAKEOVER_LIMIT), operator]), reason)

    assert len(lines) == told
    assert all("this reason is not kept" in line and line.endswith("paused by ada: lunch") for line in lines)

"""Tables for people: what somebody has to copy is whole, and two of a name can be told apart."""

import re
import time
from typing import Any

import pytest

from perdure.cli.printing.formats import Format, print_list
from perdure.v1.approvals_pb2 import Approval
from perdure.v1.run_effects_pb2 import EffectRecord
from perdure.v1.run_explanations_pb2 import QUEUE_REASON_NO_LABEL
from perdure.v1.run_states_pb2 import RUN_STATE_QUEUED
from perdure.v1.runs_pb2 import Run
from perdure.v1.server_pb2 import Executor


def test_the_key_of_an_effect_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_list([EffectRecord(idempotency_key="k" * 64)], Format.TABLE)

    assert "k" * 64 in capsys.readouterr().out


def test_a_queued_run_says_what_keeps_it(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(name="runs/r", state=RUN_STATE_QUEUED, queue_reason=QUEUE_REASON_NO_LABEL)

    print_list([run], Format.TABLE)

    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["r", "queued", "no", "label"]


def test_executors_of_one_name_are_told_apart_by_their_processes(capsys: pytest.CaptureFixture[str]) -> None:
    print_list([Executor(name="executors/one", incarnation=process) for process in ("p-1", "p-2")], Format.TABLE)

    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["PROCESS", "p-1", "p-2"]


@pytest.mark.parametrize(
    ("approval", "shown"),
    [
        ({"state": "STATE_OPEN", "due_time": 35, "deadline_time": 35}, r"in 3\ds"),
        ({"state": "STATE_OPEN", "due_time": 35, "deadline_time": -35, "escalations": 1}, r"in 3\ds"),
        ({"state": "STATE_OPEN", "deadline_time": -35, "escalations": 1}, ""),
        ({"state": "STATE_EXPIRED", "deadline_time": -35}, r"3\ds ago"),
        ({"state": "STATE_DECIDED", "deadline_time": 35}, ""),
    ],
)
def test_what_is_open_expires_when_its_own_rung_is_over(
    capsys: pytest.CaptureFixture[str], approval: dict[str, Any], shown: str
) -> None:
    now = time.time()
    times = {name: {"seconds": int(now + value) + 1} for name, value in approval.items() if name.endswith("_time")}
    print_list([Approval(name="approvals/a", **{**approval, **times})], Format.TABLE)

    (_, row) = capsys.readouterr().out.splitlines()
    assert re.search(shown or "^", row)
    assert shown or re.search(r"\d+s", row) is None

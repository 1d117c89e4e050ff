"""Every reason that a server can give is told in words, with what there is to type."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from perdure.cli.explaining import tell
from perdure.v1 import fact_events_pb2, instances_pb2, run_events_pb2, run_states_pb2
from perdure.v1.run_explanations_pb2 import LimitReached, RunExplanation, RunReason, Unserved

FOUND = RunExplanation(run="runs/r")
EXIT_CODE = instances_pb2.FAILURE_CAUSE_EXIT_CODE

TOLD: list[tuple[str, dict[str, Any], str, str]] = [
    ("ended", {}, "it has ended", ""),
    (
        "ended",
        {"cause": EXIT_CODE, "message": "it exited with 1", "can_continue": True},
        "it has ended: exit code: it exited with 1",
        "it can be continued: perdure runs continue r",
    ),
    (
        "stop_pending",
        {"kind": run_events_pb2.STOP_KIND_INTERRUPT, "actor": "ada", "reason": "a\tlunch"},
        "asked to stop (interrupt) by ada: a lunch",
        "",
    ),
    (
        "in_doubt",
        {"instance": "a:1#1"},
        "nobody knows whether a:1#1 happened",
        "perdure runs resolve r 'a:1#1' --as done|retry|failed",
    ),
    (
        "hold",
        {"cause": fact_events_pb2.HOLD_CAUSE_OPERATOR, "actor": "ada", "reason": "look"},
        "paused by ada: look",
        "perdure runs resume r",
    ),
    (
        "hold",
        {"cause": fact_events_pb2.HOLD_CAUSE_TAKEOVER_LIMIT, "actor": "system"},
        "because of takeover limit",
        "perdure runs recovery r",
    ),
    (
        "decision",
        {"instance": "gate:1#1", "approval": "approvals/x"},
        "gate:1#1 waits for a person to decide",
        "perdure approvals approve x",
    ),
    ("time", {"instance": "pause:1#1"}, "pause:1#1 waits for a moment", ""),
    (
        "signal",
        {"instance": "paid:1#1", "signal": "payment"},
        "paid:1#1 waits for the signal payment",
        "perdure runs signal r payment",
    ),
    (
        "limit",
        {
            "limit": LimitReached.LIMIT_CONCURRENCY_KEY,
            "name": "deploy prod",
            "value": 2,
            "count": 2,
            "runs": ["runs/x"],
        },
        "2 of at most 2 of the key deploy prod go on: x, ...",
        "perdure runs why x",
    ),
    (
        "limit",
        {"limit": LimitReached.LIMIT_QUEUE_AT_WORK, "name": "q", "value": 1, "count": 1, "runs": ["runs/x"]},
        "1 of at most 1 of its queue q are at work: x",
        "perdure queues get q",
    ),
    (
        "limit",
        {"limit": LimitReached.LIMIT_QUEUE_RATE, "name": "q", "value": 20, "period": Duration(seconds=60)},
        "the rate of its queue q, 20 in 1m, is used up",
        "perdure queues get q",
    ),
    (
        "next_attempt",
        {"instance": "a:1#2", "cause": EXIT_CODE, "message": "it exited with 1"},
        "a:1#2 begins after a back-off, as the attempt before it failed (exit code): it exited with 1",
        "",
    ),
    (
        "unserved",
        {"lack": Unserved.LACK_EXECUTOR, "queue": "q"},
        "no executor lives",
        "perdure-server executor --queue q",
    ),
    (
        "unserved",
        {"lack": Unserved.LACK_QUEUE, "queue": "q"},
        "no live executor serves its queue q",
        "perdure-server executor --queue q",
    ),
    (
        "unserved",
        {"lack": Unserved.LACK_FOLD_VERSION, "queue": "q", "fold_version": 3},
        "no live executor of its queue q knows its rules, version 3",
        "perdure-server executor --queue q",
    ),
    (
        "unserved",
        {"lack": Unserved.LACK_PROVIDER, "queue": "q", "providers": ["openai"]},
        "no live executor of its queue q has the provider openai",
        "perdure-server executor --queue q --provider openai",
    ),
    (
        "unserved",
        {"lack": Unserved.LACK_LABEL, "queue": "q", "labels": ["gpu", "large"]},
        "no live executor of its queue q has the labels gpu, large",
        "perdure-server executor --queue q --label gpu --label large",
    ),
    (
        "queue_place",
        {"queue": "q", "ahead": 1, "slots": 4, "taken_slots": 4},
        "waits in its queue q: 1 run is before it, 4 of 4 slots taken",
        "perdure runtime get",
    ),
    (
        "child",
        {"instance": "a:1#1", "run": "runs/r2", "state": run_states_pb2.RUN_STATE_INTERRUPTED},
        "a:1#1 waits for the end of runs/r2, which is interrupted",
        "perdure runs why r2",
    ),
    ("under_way", {"executor_id": "x"}, "executor x has it, and nothing of it is under way", ""),
    (
        "under_way",
        {"executor_id": "x", "attempts": [{"instance": "a:1#1"}, {"instance": "b:1#1"}]},
        "executor x works on a:1#1, b:1#1",
        "",
    ),
]


@pytest.mark.parametrize(("kind", "fields", "words", "step"), TOLD)
def test_a_reason_is_told_in_words_with_what_there_is_to_type(
    kind: str, fields: dict[str, Any], words: str, step: str
) -> None:
    told = tell(FOUND, RunReason(**{kind: fields}))

    assert (told.words, told.step) == (words, step)


def test_every_kind_of_reason_and_every_lack_is_told() -> None:
    kinds = {field.name for field in RunReason.DESCRIPTOR.oneofs_by_name["reason"].fields}
    lacks = {fields["lack"] for kind, fields, _, _ in TOLD if kind == "unserved"}

    assert {kind for kind, *_ in TOLD} == kinds
    assert lacks == set(Unserved.Lack.values()) - {Unserved.LACK_UNSPECIFIED}


def test_a_reason_of_a_newer_server_is_told_as_one_that_is_not_known() -> None:
    reason = RunReason()
    reason.next_check_time.FromSeconds(5)

    told = tell(FOUND, reason)

    assert told.words.startswith("something that this program does not know")
    assert told.next_check.seconds == 5


def test_an_effect_in_doubt_says_since_when() -> None:
    reason = RunReason()
    reason.in_doubt.doubt_time.FromSeconds(7)

    assert tell(FOUND, reason).since.seconds == 7

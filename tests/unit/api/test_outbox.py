"""What is gathered for an executor while the last message is on its way to it."""

from perdure.v1 import execution_pb2
from perdure_control_plane.api.work.outbox import Outbox


def acknowledged(*numbers: int) -> list[int]:
    """What an executor is told, of heartbeats whose renewals ended in this order."""
    outbox, told = Outbox(), []
    for number in numbers:
        outbox.acknowledge(execution_pb2.HeartbeatAck(number=number))
    while (response := outbox.take()) is not None:
        told.append(response.heartbeat_ack.number)
    return told


def test_of_heartbeats_that_are_acknowledged_at_once_the_latest_is_told_whichever_ended_first() -> None:
    assert acknowledged(1, 2, 3) == [3]
    assert acknowledged(3, 1, 2) == [3]


def test_a_heartbeat_that_comes_after_a_later_one_was_acknowledged_says_nothing() -> None:
    outbox = Outbox()
    outbox.acknowledge(execution_pb2.HeartbeatAck(number=2))
    outbox.take()

    outbox.acknowledge(execution_pb2.HeartbeatAck(number=1))

    assert outbox.take() is None

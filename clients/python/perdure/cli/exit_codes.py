"""What the exit code of a command says. Scripts branch on it, so numbers and meanings stay."""

from enum import IntEnum
from typing import Final

import grpc

from perdure.client import CallFailed


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    FAILURE = 1
    """Something else went wrong, or a check found faults."""
    USAGE = 2
    """The command, an option or a field of the request is not acceptable."""
    NOT_FOUND = 3
    DENIED = 4
    CONFLICT = 5
    """It exists already, or the state of things does not allow it."""
    UNAVAILABLE = 6
    """No server answered, or it takes nothing now: try again."""
    DEADLINE = 7
    """The time given was not enough."""
    UNSUCCESSFUL = 8
    """The run or flow that was followed ended without success."""
    WAITING = 9
    """The run or flow that was followed waits for a person."""
    INTERRUPTED = 130
    READER_GONE = 141
    """Whoever read the output has gone, as `head` does."""


OF_STATUS: Final = {
    grpc.StatusCode.INVALID_ARGUMENT: ExitCode.USAGE,
    grpc.StatusCode.OUT_OF_RANGE: ExitCode.USAGE,
    grpc.StatusCode.NOT_FOUND: ExitCode.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED: ExitCode.DENIED,
    grpc.StatusCode.UNAUTHENTICATED: ExitCode.DENIED,
    grpc.StatusCode.ALREADY_EXISTS: ExitCode.CONFLICT,
    grpc.StatusCode.FAILED_PRECONDITION: ExitCode.CONFLICT,
    grpc.StatusCode.ABORTED: ExitCode.CONFLICT,
    grpc.StatusCode.UNAVAILABLE: ExitCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ExitCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: ExitCode.DEADLINE,
}
"""The exit code for each status code; any other is a FAILURE."""

OF_REASON: Final = {
    "PLAYBOOK_INVALID": ExitCode.FAILURE,
    "PAYLOAD_TOO_LARGE": ExitCode.USAGE,
}
"""Reasons whose exit code is not that of their status code."""


def exit_code(failure: CallFailed) -> ExitCode:
    """The exit code of a command whose call failed."""
    return OF_REASON.get(failure.reason) or OF_STATUS.get(failure.code, ExitCode.FAILURE)

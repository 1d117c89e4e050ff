"""A fault of ours in one run is that run's alone."""

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import structlog

from perdure_executor.event_stream import EventStream

log = structlog.get_logger(__name__)


class Fenceable(Protocol):
    """A run that can be let go of."""

    @property
    def stream(self) -> EventStream:
        """Its events."""

    def fence(self) -> None:
        """Ends its work, and sends nothing of it any more."""


R = TypeVar("R", bound=Fenceable)
P = ParamSpec("P")


def alone(method: Callable[Concatenate[R, P], None]) -> Callable[Concatenate[R, P], None]:
    """Lets go of the run in which a method fails, so that it does not hang, and every other run goes on."""

    @functools.wraps(method)
    def guarded(run: R, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(run, *args, **kwargs)
        except Exception:  # the run goes to another executor, and after some of them to a person
            log.exception("walk.failed", run=run.stream.run_id, lease=run.stream.lease_id)
            run.fence()

    return guarded

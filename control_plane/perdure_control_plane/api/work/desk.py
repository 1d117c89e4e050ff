"""What every stream of an executor works with."""

from dataclasses import dataclass

from perdure_control_plane.domain.identity import ServerIdentity
from perdure_control_plane.domain.limits import Limits, Timing
from perdure_control_plane.usecases.changes import Changes
from perdure_control_plane.usecases.ports import Store


@dataclass(frozen=True, slots=True)
class Desk:
    """What every session works with."""

    store: Store
    changes: Changes
    timing: Timing
    limits: Limits
    identity: ServerIdentity

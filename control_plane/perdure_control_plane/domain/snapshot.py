"""Snapshots of runs, as they are stored."""

from dataclasses import dataclass

from perdure.runlog.snapshots import Snapshot
from perdure_control_plane.domain.ids import RunId


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """The walk of a run at a position of its log, and the digest of the log up to there."""

    run_id: RunId
    walk: Snapshot
    fold_version: int
    head_digest: bytes

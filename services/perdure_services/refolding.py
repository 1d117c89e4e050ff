"""Folds the log of a snapshot again, and says where the two differ."""

from perdure.runlog.checker import LogChecker, Violation
from perdure.runlog.digests import NO_EVENTS, next_digest
from perdure.runlog.rules import Rule
from perdure.runlog.snapshots import FORM, take_snapshot
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.domain.snapshot import RunSnapshot


class Refolding:
    """One run's snapshot, which is compared when the log has come to it. One of another version's form is passed over."""

    def __init__(self, kept: RunSnapshot | None) -> None:
        self._kept = kept
        self._digest = NO_EVENTS

    def faults_at(self, checker: LogChecker, recorded: RecordedEvent, stored: bytes) -> list[Violation]:
        """What is wrong with the snapshot, where it was taken at this event; `checker` has folded it."""
        kept = self._kept
        if kept is None:
            return []
        self._digest = next_digest(self._digest, recorded, stored)
        if recorded.sequence != kept.walk.sequence:
            return []
        faults = []
        if self._digest != kept.head_digest:
            faults.append(
                f"it was taken of a log with digest {kept.head_digest.hex()}; this one has {self._digest.hex()}"
            )
        if kept.walk.form == FORM and take_snapshot(checker.walk, recorded.sequence) != kept.walk:
            faults.append("it is not what the log folds to")
        return [Violation(Rule.SNAPSHOT, kept.run_id, recorded.sequence, fault) for fault in faults]

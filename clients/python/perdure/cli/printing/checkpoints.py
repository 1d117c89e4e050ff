"""What people are told of a checkpoint."""

from perdure.cli.printing.words import counted
from perdure.v1.run_recovery_pb2 import Checkpoint


def branching_words(found: Checkpoint) -> str:
    """Whether the position is safe to branch from, or what stands against it."""
    if found.safe:
        return "safe"
    against = []
    if found.unsettled:
        against.append(f"{', '.join(found.unsettled)} not over")
    if found.repeats:
        guarded = f", {found.guarded_repeats} of them guarded" if found.guarded_repeats else ""
        against.append(f"repeats {counted(found.repeats, 'effect')}{guarded}")
    if found.held:
        against.append("an executor holds the run")
    return "; ".join(against)

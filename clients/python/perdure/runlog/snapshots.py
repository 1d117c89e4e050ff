"""Snapshots: the state of a walk as bytes, and back.

What is carried follows from the fields of `Walk` and of whatever stands in them, so that a new field is carried, too. The
form of a snapshot is named by those fields: a program whose walk has others does not read it, and folds the log.
"""

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from perdure.runlog.plans import WalkPlan
from perdure.runlog.shapes import Reader, Writer, shape_name, shape_of
from perdure.runlog.walk import Walk
from perdure.v1.run_snapshots_pb2 import WalkSnapshot

_WALK: Final = shape_of(Walk, given=(WalkPlan,))

FORM: Final = shape_name(Walk, given=(WalkPlan,))
"""Name of the form that this version writes, and the only one that it reads."""


class SnapshotUnreadable(ValueError):
    """The bytes are no snapshot of this form."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A walk at a sequence. `state` says what stands where; `contents` is what people and programs wrote."""

    sequence: int
    seen: int
    form: str
    state: bytes
    contents: bytes


def take_snapshot(walk: Walk, sequence: int) -> Snapshot:
    """The walk, folded up to and with a sequence. The same walk gives the same bytes."""
    writer = Writer()
    _WALK.write(writer, walk)
    state = WalkSnapshot(
        sequence=sequence,
        seen=walk.seen,
        form=FORM,
        numbers=writer.numbers,
        fractions=writer.fractions,
        texts=writer.texts,
        bodies=writer.bodies,
    )
    contents = WalkSnapshot(contents=writer.contents)
    return Snapshot(sequence, walk.seen, FORM, state.SerializeToString(), contents.SerializeToString())


def restore_walk(plan: WalkPlan, stored: bytes) -> tuple[Walk, int]:
    """The walk, and the sequence it was folded up to. `stored` is a snapshot's state with its contents behind it; where
    they are left out, everything that people and programs wrote is empty. Raises SnapshotUnreadable."""
    try:
        message = WalkSnapshot.FromString(stored)
    except DecodeError as error:
        raise SnapshotUnreadable(str(error)) from error
    if message.form != FORM:
        raise SnapshotUnreadable(f"it has the form {message.form or 'of nothing'}; this version reads {FORM}")
    reader = Reader(message, {WalkPlan: plan})
    try:
        walk: Walk = _WALK.read(reader)
    except (StopIteration, IndexError, ValueError, DecodeError) as error:
        raise SnapshotUnreadable(f"it breaks off or holds what no walk does: {error!r}") from error
    if not reader.is_at_end():
        raise SnapshotUnreadable("it has more than a walk holds")
    return walk, message.sequence

"""How a run is laid out in its row."""

import operator
from dataclasses import fields
from typing import Any, Final

from perdure.runlog.head import RunHead, Stop
from perdure.runlog.places import Place
from perdure.runlog.states import RunState
from perdure_control_plane.domain.run import Run, RunIdentity
from perdure_control_plane.storage.lists import pack, unpack
from perdure_control_plane.storage.statements import Row

HEAD_COLUMNS: Final = tuple(field.name for field in fields(RunHead))
"""Columns that move with the log, in the order of the head's fields."""

IDENTITY_COLUMNS: Final = tuple(field.name for field in fields(RunIdentity))
"""Columns that never change."""

RUN_COLUMNS: Final = IDENTITY_COLUMNS + HEAD_COLUMNS

APPENDED_COLUMNS: Final = (
    "next_ordinal", "tail", "last_sequence", "open_effects", "resolved_effects", "fruitless_takeovers",
)  # fmt: skip
"""Columns that a holder's batch moves when it neither changes the state nor opens or takes anything."""

appended_row: Final = operator.attrgetter(*APPENDED_COLUMNS)
"""A head's values in the order of APPENDED_COLUMNS."""


def head_row(head: RunHead) -> Row:
    """The head's values in the order of HEAD_COLUMNS."""
    return (
        head.state.value,
        head.holds,
        int(head.ready),
        None if head.stop is None else head.stop.value,
        head.stop_at,
        head.lease_id,
        head.executor_id,
        head.incarnation,
        head.epoch,
        head.generation,
        head.next_ordinal,
        head.tail,
        head.released_lease_id,
        head.released_ordinal,
        head.last_sequence,
        head.outside_sequence,
        head.open_effects,
        head.in_doubt,
        head.resolved_effects,
        head.open_waits,
        int(head.child),
        head.children,
        head.fruitless_takeovers,
        head.deadline_at,
        head.ended_sequence,
        head.ended_at,
        head.failure_cause,
        head.failure_message,
        head.failed_instance,
        int(head.place),
    )


def head_from(row: Any) -> RunHead:
    """The head that a row holds, its values in the order of HEAD_COLUMNS."""
    state, holds, ready, stop, *rest = row
    head = RunHead(RunState(state), holds, bool(ready), None if stop is None else Stop(stop), *rest)
    head.child, head.place = bool(head.child), Place(head.place)
    return head


def identity_row(run: RunIdentity) -> Row:
    """The identity's values in the order of IDENTITY_COLUMNS."""
    values = [getattr(run, name) for name in IDENTITY_COLUMNS]
    values[IDENTITY_COLUMNS.index("providers")] = pack(run.providers)
    values[IDENTITY_COLUMNS.index("labels")] = pack(run.labels)
    return tuple(values)


def run_from(row: Any) -> Run:
    """The run that a row holds, its values in the order of RUN_COLUMNS."""
    values = dict(zip(IDENTITY_COLUMNS, row, strict=False))
    values["providers"], values["labels"] = unpack(values["providers"]), unpack(values["labels"])
    return Run(RunIdentity(**values), head_from(row[len(IDENTITY_COLUMNS) :]))

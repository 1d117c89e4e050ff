"""Effects in doubt, with what else is known of each: since when, the task behind it, and when it may be done again."""

from collections.abc import Sequence

from perdure.runlog.instances import Instance, instance
from perdure.runlog.recovery import EffectInDoubt
from perdure_control_plane.domain.errors import DataCorrupt
from perdure_control_plane.domain.explanation import UnresolvedEffect
from perdure_control_plane.domain.limits import Timing
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.fold_run import FoldedRun
from perdure_control_plane.usecases.ports import Transaction
from perdure_control_plane.usecases.readings.retry_time import retry_at


def unresolved_effects(
    tx: Transaction, timing: Timing, folded: FoldedRun, effects: Sequence[EffectInDoubt]
) -> tuple[UnresolvedEffect, ...]:
    """Each of them, in their order."""
    if not effects:
        return ()
    begun = tx.tasks.of_instances(folded.run.run_id, [str(effect.instance) for effect in effects])
    tasks = {task.instance: task.name for task in begun}
    said = _said_at(tx, folded.run, {effect.instance for effect in effects if not effect.doubt.lost_sequence})
    return tuple(
        UnresolvedEffect(
            effect,
            said.get(effect.instance) or _lost_at(tx, folded.run, effect),
            tasks.get(str(effect.instance), ""),
            retry_at(tx, timing, folded, effect.doubt),
        )
        for effect in effects
    )


def _lost_at(tx: Transaction, run: Run, effect: EffectInDoubt) -> int:
    return tx.events.at(run.run_id, effect.doubt.lost_sequence).stored_time.ToMicroseconds()


def _said_at(tx: Transaction, run: Run, wanted: set[Instance]) -> dict[Instance, int]:
    """When a holder last said of each of them that nobody knows what became of it. Raises DataCorrupt."""
    found: dict[Instance, int] = {}
    before = run.head.last_sequence + 1
    while wanted - found.keys():
        said = tx.events.last_of_kind_before(run.run_id, "node_in_doubt", before)
        if said is None:
            raise DataCorrupt(run.name, "an effect is in doubt without an event that says so")
        found.setdefault(instance(said.event.node_in_doubt.instance), said.stored_time.ToMicroseconds())
        before = said.sequence
    return found

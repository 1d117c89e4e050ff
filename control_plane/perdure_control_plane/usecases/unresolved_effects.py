"""Effects in doubt, with what else is known of each: since when, the task behind it, and when it may be done again."""

from collections.abc import Sequence

from perdure.runlog.instances import instance
from perdure.runlog.recovery import EffectInDoubt
from perdure_control_plane.domain.explanation import UnresolvedEffect
from perdure_control_plane.domain.limits import Timing
from perdure_control_plane.usecases.fold_run import FoldedRun
from perdure_control_plane.usecases.ports import Transaction
from perdure_control_plane.usecases.retry_time import retry_at


def unresolved_effects(
    tx: Transaction, timing: Timing, folded: FoldedRun, effects: Sequence[EffectInDoubt]
) -> tuple[UnresolvedEffect, ...]:
    """Each of them, in their order."""
    if not effects:
        return ()
    begun = tx.tasks.of_instances(folded.run.run_id, [str(effect.instance) for effect in effects])
    tasks = {task.instance: task.name for task in begun}
    return tuple(
        UnresolvedEffect(
            effect,
            _doubted_at(tx, folded, effect),
            tasks.get(str(effect.instance), ""),
            retry_at(tx, timing, folded, effect.doubt),
        )
        for effect in effects
    )


def _doubted_at(tx: Transaction, folded: FoldedRun, effect: EffectInDoubt) -> int:
    """When its lease was lost, or else its holder said that nobody knows."""
    run_id, before = folded.run.run_id, folded.run.head.last_sequence + 1
    if effect.doubt.lost_sequence:
        (loss,) = tx.events.after(run_id, effect.doubt.lost_sequence - 1, limit=1, max_bytes=1)
        return loss.stored_time.ToMicroseconds()
    while True:
        said = tx.events.last_of_kind_before(run_id, "node_in_doubt", before)
        assert said is not None, f"{effect.instance} is where only a node_in_doubt leads"
        if instance(said.event.node_in_doubt.instance) == effect.instance:
            return said.stored_time.ToMicroseconds()
        before = said.sequence

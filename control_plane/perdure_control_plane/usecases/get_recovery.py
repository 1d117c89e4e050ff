"""Says how a run can go on."""

from dataclasses import dataclass

from perdure.runlog.recovery import Recovery, recovery
from perdure_control_plane.domain.explanation import UnresolvedEffect
from perdure_control_plane.domain.holds import StandingHold
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.limits import Timing
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.fold_run import fold
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.readings.standing_holds import standing_holds
from perdure_control_plane.usecases.readings.unresolved_effects import unresolved_effects


@dataclass(frozen=True, slots=True)
class FoundRecovery:
    """How a run can go on."""

    run: Run
    recovery: Recovery
    in_doubt: tuple[UnresolvedEffect, ...] = ()
    holds: tuple[StandingHold, ...] = ()


async def get_recovery(store: Store, timing: Timing, run_id: RunId) -> FoundRecovery:
    """Whether the run can go on, from where, what is done, what is in doubt, what it needs. Raises NotFound, DataCorrupt."""

    def body(tx: Transaction) -> FoundRecovery:
        folded = fold(tx, run_id)
        found = recovery(run_id, folded.run.head, folded.walk, tx.now)
        in_doubt = unresolved_effects(tx, timing, folded, found.in_doubt)
        return FoundRecovery(folded.run, found, in_doubt, standing_holds(tx, folded.run))

    return await store.read(body)

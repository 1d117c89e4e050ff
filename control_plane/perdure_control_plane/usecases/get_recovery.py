"""Says how a run can go on."""

from dataclasses import dataclass

from perdure.runlog.recovery import Recovery, recovery
from perdure_control_plane.domain.holds import StandingHold
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.limits import Timing
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.fold_run import fold
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.retry_time import retry_at
from perdure_control_plane.usecases.standing_holds import standing_holds


@dataclass(frozen=True, slots=True)
class FoundRecovery:
    """How a run can go on; `tasks` has the name of the task behind each attempt in doubt that is a command's."""

    run: Run
    recovery: Recovery
    tasks: dict[str, str]
    retry_times: dict[str, int]
    """For each attempt in doubt from when it may be tried again, in microseconds since 1970; 0 for at once."""
    holds: tuple[StandingHold, ...] = ()


async def get_recovery(store: Store, timing: Timing, run_id: RunId) -> FoundRecovery:
    """Whether the run can go on, from where, what is done, what is in doubt, what is needed. Raises NotFound."""

    def body(tx: Transaction) -> FoundRecovery:
        folded = fold(tx, run_id)
        found = recovery(run_id, folded.run.head, folded.walk, tx.now)
        begun = tx.tasks.of_instances(run_id, [str(effect.instance) for effect in found.in_doubt])
        tasks = {task.instance: task.name for task in begun}
        retries = {str(effect.instance): retry_at(tx, timing, folded, effect.doubt) for effect in found.in_doubt}
        return FoundRecovery(folded.run, found, tasks, retries, standing_holds(tx, folded.run))

    return await store.read(body)

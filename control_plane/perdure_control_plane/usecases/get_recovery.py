"""Says how a run can go on."""

from dataclasses import dataclass

from perdure.runlog.recovery import Recovery, recovery
from perdure.runlog.walk import Doubt
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.limits import Timing
from perdure_control_plane.domain.retrying import work_surely_over_at
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.fold_run import FoldedRun, fold
from perdure_control_plane.usecases.ports import Store, Transaction


@dataclass(frozen=True, slots=True)
class FoundRecovery:
    """How a run can go on; `tasks` has the name of the task behind each attempt in doubt that is a command's."""

    run: Run
    recovery: Recovery
    tasks: dict[str, str]
    retry_times: dict[str, int]
    """For each attempt in doubt from when it may be tried again, in microseconds since 1970; 0 for at once."""


async def get_recovery(store: Store, timing: Timing, run_id: RunId) -> FoundRecovery:
    """Whether the run can go on, from where, what is done, what is in doubt, what is needed. Raises NotFound."""

    def body(tx: Transaction) -> FoundRecovery:
        folded = fold(tx, run_id)
        found = recovery(run_id, folded.run.head, folded.walk, tx.now)
        listed = tx.tasks.page(folded.run.identity.session_id, run_id, None, 500)
        in_doubt = {str(effect.instance) for effect in found.in_doubt}
        tasks = {task.instance: task.name for task in reversed(listed) if task.instance in in_doubt}
        retries = {str(effect.instance): retry_at(tx, timing, folded, effect.doubt) for effect in found.in_doubt}
        return FoundRecovery(folded.run, found, tasks, retries)

    return await store.read(body)


def retry_at(tx: Transaction, timing: Timing, folded: FoldedRun, doubt: Doubt) -> int:
    """From when an effect in doubt may be tried again; 0 where its work is known to have ended."""
    if not doubt.lost_sequence or doubt.report is not None:
        return 0
    (loss,) = tx.events.after(folded.run.run_id, doubt.lost_sequence - 1, limit=1, max_bytes=1)
    return work_surely_over_at(loss, timing)

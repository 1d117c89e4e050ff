"""What keeps queued runs from being handed out, for many at once: limits and executors are looked at once for all."""

from collections.abc import Iterator, Sequence
from typing import Final

from perdure.runlog.places import Place
from perdure.runlog.states import RunState
from perdure_control_plane.domain.executor import ListedExecutor
from perdure_control_plane.domain.explanation import Lack, QueueReason, Unserved, queue_reason
from perdure_control_plane.domain.explanation import Place as QueuePlace
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.fold_run import READ_AT_ONCE
from perdure_control_plane.usecases.ports import Transaction

_LACKS: Final = {
    Lack.EXECUTOR: QueueReason.NO_EXECUTOR,
    Lack.QUEUE: QueueReason.NO_QUEUE,
    Lack.FOLD_VERSION: QueueReason.NO_FOLD_VERSION,
    Lack.PROVIDER: QueueReason.NO_PROVIDER,
    Lack.LABEL: QueueReason.NO_LABEL,
}

_ANYWHERE: Final = QueuePlace(0, 0)


def queue_reasons(tx: Transaction, runs: Sequence[Run]) -> dict[RunId, QueueReason]:
    """For each of them that is queued what keeps it: a limit, a lack, or others before it."""
    queued = [run for run in runs if run.head.state is RunState.QUEUED]
    if not queued:
        return {}
    live, queues = list(live_executors(tx)), tx.queues.each(sorted({run.identity.queue for run in queued}))
    full = {queue.limits.queue for queue in queues if queue.limits.room(queue.at_work, tx.now) == 0}
    held = tx.places.held(sorted({run.identity.concurrency_key for run in queued}))

    def reason(run: Run) -> QueueReason:
        wanted = run.head.place is Place.WANTED
        if run.identity.queue in full or (
            wanted and held[run.identity.concurrency_key] >= run.identity.concurrency_limit
        ):
            return QueueReason.LIMIT
        why = queue_reason(run.identity, _ANYWHERE, live)
        return _LACKS[why.lack] if isinstance(why, Unserved) else QueueReason.BEHIND_OTHERS

    return {run.run_id: reason(run) for run in queued}


def live_executors(tx: Transaction) -> Iterator[ListedExecutor]:
    """Every executor that can be given work."""
    after = ("", "")
    while page := tx.executors.page(after, tx.now, READ_AT_ONCE):
        yield from (listed for listed in page if listed.live)
        after = (page[-1].executor.executor_id, page[-1].executor.incarnation)

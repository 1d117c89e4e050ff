"""How a run can go on: read off its head and its walk."""

from dataclasses import dataclass, field

from perdure.runlog.effects import idempotency_key
from perdure.runlog.head import Hold, RunHead
from perdure.runlog.inbox import Doubt
from perdure.runlog.instances import Instance, instance
from perdure.runlog.node_walk import Phase
from perdure.runlog.states import CONTINUABLE, RunState
from perdure.runlog.walk import Walk


@dataclass(frozen=True, slots=True)
class EffectInDoubt:
    """An attempt whose effect may or may not have happened."""

    instance: Instance
    idempotency_key: str
    doubt: Doubt


@dataclass(frozen=True, slots=True)
class Recovery:
    """Whether and how a run can go on."""

    can_continue: bool
    """Whether a continue that carries `needs` would be accepted."""
    goes_on_by_itself: bool
    checkpoint_id: str
    answers_sequence: int = 0
    """What a continue must name: the sequence of the end, or of the latest hold."""
    needs: tuple[str, ...] = ()
    reopens: Instance | None = None
    done: tuple[Instance, ...] = ()
    open: tuple[Instance, ...] = ()
    in_doubt: tuple[EffectInDoubt, ...] = field(default=())


CONTINUE_RELEASES = Hold.TAKEOVER_LIMIT | Hold.STORE_RESTORED
"""Holds that a continue releases; an operator's own hold, and an offer, end otherwise."""


def recovery(run_id: str, head: RunHead, walk: Walk, now: int) -> Recovery:
    """How a run with this head and walk can go on. `now` is the store's time, in microseconds."""
    in_doubt = effects_in_doubt(walk)
    ended = head.state in CONTINUABLE
    held = head.state is RunState.PAUSED and bool(head.holds & CONTINUE_RELEASES) and not in_doubt
    paused = not head.ended_sequence and bool(head.holds & Hold.OPERATOR)
    needs, reopens = _needs(head, walk, now) if ended else ((), None)
    return Recovery(
        can_continue=ended or held,
        goes_on_by_itself=head.state in (RunState.QUEUED, RunState.RUNNING, RunState.PAUSED) and not head.held,
        checkpoint_id=f"{run_id}@{head.last_sequence}",
        answers_sequence=head.ended_sequence if ended else max(walk.holds.values(), default=0) if held else 0,
        needs=(*needs, *(("resolve",) if in_doubt else ()), *(("resume",) if paused else ())),
        reopens=reopens,
        done=_at(walk, Phase.SUCCEEDED, Phase.CHOOSING),
        open=_at(walk, Phase.STARTED, Phase.LOST, Phase.WAITING, Phase.ASKING, Phase.IN_DOUBT, Phase.MAPPING),
        in_doubt=in_doubt,
    )


def effects_in_doubt(walk: Walk) -> tuple[EffectInDoubt, ...]:
    """Every effect in doubt that nobody has settled."""
    return tuple(
        EffectInDoubt(where, idempotency_key(walk.lineage_id, where.path, walk.redos(where.place)), doubt)
        for where, doubt in walk.doubts.items()
        if not doubt.resolution_sequence
    )


def _needs(head: RunHead, walk: Walk, now: int) -> tuple[tuple[str, ...], Instance | None]:
    ended = walk.ended
    failed = instance(ended.failed) if ended is not None and ended.HasField("failed") else None
    reopen = ("reopen",) if failed is not None else ()
    passed = 0 < head.deadline_at <= now
    timeout = ("timeout",) if passed or head.state is RunState.TIMED_OUT else ()
    return reopen + timeout, failed


def _at(walk: Walk, *phases: Phase) -> tuple[Instance, ...]:
    places = (place for node in walk.plan.order for place in (node, *walk.items(node)))
    return tuple(walk.instance(place) for place in places if walk.nodes[place].phase in phases)

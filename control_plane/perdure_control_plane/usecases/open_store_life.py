"""Begins a new life of the store at a server's start, and notices when the store went back to an earlier one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.effects import GUARDED
from perdure.runlog.head import Hold
from perdure.runlog.plans import worst_effect
from perdure.runlog.states import RunState
from perdure.v1 import fact_events_pb2, plans_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.audit import OPENING, Act
from perdure_control_plane.domain.ids import LeaseId, RunId
from perdure_control_plane.domain.leases import StoreMark
from perdure_control_plane.domain.origin import RESTORE
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.stop_run import end_event
from perdure_control_plane.usecases.take_over import revocation

AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class StoreLife:
    """The store's mark from now on, and whether it was found to have gone back."""

    mark: StoreMark
    restored: bool
    held: tuple[RunId, ...] = ()
    """Runs that are held because the store went back."""


@dataclass(frozen=True, slots=True)
class Lost:
    """An executor was told that its events up to an ordinal are stored; the store says that they are not."""

    run_id: RunId
    lease_id: LeaseId
    ordinal: int


async def open_store_life(store: Store, starts_seen: int | None) -> StoreLife:
    """Counts a start. `starts_seen` is the count kept beside the store; None where there is none.

    A store was restored where it is another copy of the data than the one its mark was made in; where copies cannot be
    told apart, when it is behind the count beside it, or has none beside it though it has been started. Its generation
    rises then, every lease is void, and every run that has not ended and could have had an effect since is held.
    """

    def went_back(tx: Transaction) -> bool:
        mark = tx.copy.mark()
        if mark is None or tx.copy.origin():
            return tx.copy.is_another()
        return starts_seen is None or mark.starts < starts_seen

    # Before the start is counted: a server that dies in between leaves a store that is found to have gone back again.
    def body(tx: Transaction) -> StoreLife | None:
        restored = went_back(tx)
        return _begin(tx, starts_seen, restored, voided.held) if voided.is_for(tx) or not restored else None

    while True:
        voided = await void_leases(store, went_back) if await store.read(went_back) else Voided()
        if (life := await store.write(body)) is not None:
            return life


async def follow_store_life(store: Store) -> StoreLife:
    """The store's life as it is now, for a server that runs: another server, or a standby, may have begun a new one."""
    mark = await store.read(lambda tx: None if tx.copy.is_another() else tx.copy.mark())
    if mark is not None:
        return StoreLife(mark, restored=False)

    def body(tx: Transaction) -> StoreLife | None:
        mark = tx.copy.mark() or StoreMark(0, 0)
        if not tx.copy.is_another():
            return StoreLife(mark, restored=False, held=voided.held)
        if not voided.is_for(tx):
            return None
        mark = StoreMark(mark.generation + 1, mark.starts, tx.copy.origin())
        tx.copy.set_mark(mark)
        _record_going_back(tx, mark)
        return StoreLife(mark, restored=True, held=voided.held)

    while True:
        voided = await void_leases(store, lambda tx: tx.copy.is_another())
        if (life := await store.write(body)) is not None:
            return life


async def raise_generation(store: Store, lost: Lost) -> StoreMark | None:
    """Raises the generation where an executor knows more than the store, which went back while nobody looked.

    None where the store does not lack what the report says, or where the lease is gone meanwhile.
    """
    if not await store.read(lambda tx: _lacks(tx, lost)):
        return None
    await void_leases(store, lambda _: True)

    def body(tx: Transaction) -> StoreMark:
        mark = tx.copy.mark() or StoreMark(0, 0)
        raised = replace(mark, generation=mark.generation + 1)
        tx.copy.set_mark(raised)
        _record_going_back(tx, raised)
        return raised

    return await store.write(body)


def _lacks(tx: Transaction, lost: Lost) -> bool:
    run = tx.runs.find(lost.run_id)
    return run is not None and run.head.lease_id == lost.lease_id and run.head.next_ordinal <= lost.ordinal


@dataclass(frozen=True, slots=True)
class Voided:
    """Leases that are void: all of them in one copy of the data, or none has to be."""

    origin: str | None = None
    """The copy, as it is named by its origin; None where no lease had to be void."""
    held: tuple[RunId, ...] = ()
    after: str = ""
    """Where the next page begins; empty where nothing is left."""

    def is_for(self, tx: Transaction) -> bool:
        """Whether they were of this copy: in another one, which has taken its place since, they are as they were."""
        return self.origin == tx.copy.origin()


async def void_leases(store: Store, is_due: Callable[[Transaction], bool]) -> Voided:
    """Voids every lease, and holds every run that may have had an effect which the store no longer knows of.

    Ends early where it `is_due` no more: another server has done it meanwhile. Begins again where another copy of the
    data takes the place of this one.
    """
    voided, plans = Voided(), _Plans()
    while True:
        voided = await store.write(partial(_void_page, before=voided, is_due=is_due, plans=plans), Order.GUARDED)
        if not voided.after:
            return voided


def _begin(tx: Transaction, starts_seen: int | None, restored: bool, held: tuple[RunId, ...]) -> StoreLife:
    mark, origin = tx.copy.mark(), tx.copy.origin()
    if mark is None:
        fresh = StoreMark(generation=1, starts=max(1, (starts_seen or 0) + 1), origin=origin)
        tx.copy.set_mark(fresh)
        return StoreLife(fresh, restored=False)
    starts = max(mark.starts, starts_seen or 0) + 1
    begun = StoreMark(mark.generation + restored, starts, origin)
    tx.copy.set_mark(begun)
    if restored:
        _record_going_back(tx, begun)
    return StoreLife(begun, restored, held)


def _record_going_back(tx: Transaction, mark: StoreMark) -> None:
    details = {AuditDetail.GENERATION: str(mark.generation)}
    tx.audit.record(Act(AuditType.STORE_RESTORED, OPENING, "store", details=details))


class _Plans:
    """Plans that runs walk. Each is read once, however many runs walk it."""

    def __init__(self) -> None:
        self._known: dict[bytes, bool] = {}

    def have_effect(self, tx: Transaction, digest: bytes) -> bool:
        """Whether anything in a plan must not be repeated."""
        known = self._known.get(digest)
        if known is None:
            plan = plans_pb2.Plan.FromString(tx.playbooks.plan(digest))
            known = self._known[digest] = any(worst_effect(node) in GUARDED for node in plan.nodes)
        return known


def _void_page(tx: Transaction, before: Voided, is_due: Callable[[Transaction], bool], plans: _Plans) -> Voided:
    tx.upkeep.keep_sweeps_out()  # they lock many runs, too, in another order
    if not is_due(tx):
        return Voided(held=before.held)
    if not before.is_for(tx):
        before = Voided(tx.copy.origin())
    runs = tx.runs.lock_unended(before.after, AT_ONCE)
    held = [run.run_id for run in runs if _void(tx, run, plans)]
    return Voided(before.origin, (*before.held, *held), runs[-1].run_id if runs else "")


def _void(tx: Transaction, run: Run, plans: _Plans) -> bool:
    if run.head.state is RunState.RUNNING:
        run = tx.log.append(run, [revocation(run, run_events_pb2.REVOCATION_CAUSE_STORE_RESTORED)], RESTORE)
    holds = plans.have_effect(tx, run.identity.plan_digest)
    if holds and not run.head.holds & Hold.STORE_RESTORED:
        placed = fact_events_pb2.HoldPlaced(cause=fact_events_pb2.HOLD_CAUSE_STORE_RESTORED)
        run = tx.log.append(run, [RunEvent(fact_recorded=fact_events_pb2.FactRecorded(hold_placed=placed))], RESTORE)
    if run.head.stop is not None:
        # Nobody is left who would carry it out. The hold stands beyond the end, for whoever continues the run.
        tx.log.append(run, [end_event(run.head.stop, "its executor was lost when the store went back")], RESTORE)
    return holds

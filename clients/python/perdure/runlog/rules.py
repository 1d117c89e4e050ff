"""The rules a log must keep, one function for each: what is wrong with an event, given the log before it.

Each yields the rule that is broken and what is wrong, in words.
"""

from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum
from typing import Final

from perdure.runlog.consequences import overdue
from perdure.runlog.decisions import decision_faults
from perdure.runlog.effects import GUARDED
from perdure.runlog.failures import UNDECIDED
from perdure.runlog.gates import voiding_faults
from perdure.runlog.head import RunHead
from perdure.runlog.instances import Instance, instance
from perdure.runlog.intents import Choose, Intent, Record, Start
from perdure.runlog.interpreter import decide, decide_unaware
from perdure.runlog.kinds import HOLDER_KINDS
from perdure.runlog.map_rules import beginning_faults, ends
from perdure.runlog.node_walk import Phase
from perdure.runlog.questions import question_faults
from perdure.runlog.starting import child_start
from perdure.runlog.wait_rules import ASKING, RESOLVES, has_come, signal_faults
from perdure.runlog.walk import Walk
from perdure.v1 import fact_events_pb2, instances_pb2, node_events_pb2, run_states_pb2
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent


class Rule(StrEnum):
    """What was broken."""

    SEQUENCE = "SEQUENCE"
    """Sequences count from 1 without gaps, in one run."""
    ORIGIN = "ORIGIN"
    """Holders append what is the holder's, control planes the rest."""
    LEASE = "LEASE"
    """A holder's event stands under the lease that is held, at the next ordinal."""
    TRANSITION = "TRANSITION"
    """The event cannot follow the log before it."""
    PLAN = "PLAN"
    """The plan does not allow this step here."""
    STOPPED = "STOPPED"
    """Nothing begins under a stop or a hold."""
    SETTLED_ONCE = "SETTLED_ONCE"
    """An attempt is settled at most once, after it began."""
    FACT = "FACT"
    """A fact is used once, in order, and is about what was asked."""
    DIGEST = "DIGEST"
    """Content is what its digest says."""
    STATE = "STATE"
    """The state the log ends in is one a run may rest in."""
    ROW = "ROW"
    """What the server shows of the run is what its log says."""
    READABLE = "READABLE"
    """What is stored can be read."""
    PROJECTION = "PROJECTION"
    """Every table that follows from logs is what they give."""
    AUDITED = "AUDITED"
    """Who did what, and who may, is what the audit trail says."""
    SNAPSHOT = "SNAPSHOT"
    """A snapshot is what the log folds to at its position."""
    ACKNOWLEDGED = "ACKNOWLEDGED"
    """What was acknowledged is in the log."""
    TREE = "TREE"
    """A child run is one that its parent started, lives no longer than it, and its end is told once."""
    LAUNCHED = "LAUNCHED"
    """A guarded effect was launched once, after its start was stored, and before it is said to have happened."""


Fault = tuple[Rule, str]

_EXACT: Final = frozenset({"run_paused", "run_ended", "jump_begun", "wait_closed"})
"""Kinds whose holder has seen everything, so that the log before them says exactly what they are."""


def origin_faults(head: RunHead, recorded: RecordedEvent, kind: str) -> Iterator[Fault]:
    """Who appended it, and whether that was theirs to do."""
    if recorded.WhichOneof("origin") != "holder":
        if kind in HOLDER_KINDS and (kind != "run_ended" or head.lease_id is not None):
            yield Rule.ORIGIN, f"a control plane appended {kind}"
        return
    origin = recorded.holder
    if kind not in HOLDER_KINDS:
        yield Rule.ORIGIN, f"a holder appended {kind}"
    if (origin.lease_id, origin.epoch) != (head.lease_id, head.epoch):
        held = f"{head.lease_id} of epoch {head.epoch}" if head.lease_id else "nobody"
        yield Rule.LEASE, f"lease {origin.lease_id} appended; {held} holds the run"
    elif origin.ordinal != head.next_ordinal:
        yield Rule.LEASE, f"ordinal {origin.ordinal} stands where {head.next_ordinal} was due"


def step_faults(
    head: RunHead, walk: Walk, settled: Collection[Instance], event: RunEvent, kind: str
) -> Iterator[Fault]:
    """Whether the plan, at this point of the walk, allows what a holder did. `settled` are the attempts settled before."""
    match kind:
        case "node_started":
            yield from _start_faults(head, walk, event.node_started)
        case "wait_opened":
            where = instance(event.wait_opened.instance)
            yield from _begin_faults(head, where, ran_ahead=False)
            if event.wait_opened.HasField("backoff") or event.wait_opened.approval.question:
                yield from _record_faults(event, kind, decide_unaware(walk))
            elif _decided_start(walk, where) is None:
                yield Rule.PLAN, f"{where} is not what comes next; {_due(decide_unaware(walk))}"
        case "child_started":
            yield from _child_faults(head, walk, event.child_started)
        case "node_settled":
            yield from _settlement_faults(walk, settled, event.node_settled)
        case "node_in_doubt":
            where = instance(event.node_in_doubt.instance)
            if where not in _under_way(walk) or walk.spec(where.place).effect not in GUARDED:
                yield Rule.PLAN, f"{where} cannot be in doubt: it is no guarded work under way"
        case "lease_returned":
            for where in _under_way(walk):
                yield Rule.PLAN, f"the run was given back while {where} was under way"
        case "map_begun":
            yield from ((Rule.PLAN, fault) for fault in beginning_faults(walk, event.map_begun))
        case "choice_made":
            yield from _choice_faults(walk, event.choice_made)
        case "approval_voided":
            due = [intent for intent in decide_unaware(walk) if isinstance(intent, Start)]
            yield from ((Rule.FACT, fault) for fault in voiding_faults(walk, event.approval_voided, due))
        case "jumped" | "failure_taken":
            yield from _record_faults(event, kind, decide_unaware(walk))
        case _ if kind in _EXACT:
            yield from _record_faults(event, kind, decide(walk))


def _start_faults(head: RunHead, walk: Walk, started: node_events_pb2.NodeStarted) -> Iterator[Fault]:
    where = instance(started.instance)
    yield from _begin_faults(head, where, ran_ahead=started.ran_ahead and started.effect not in GUARDED)
    decided = _decided_start(walk, where)
    if decided is None:
        yield Rule.PLAN, f"{where} is not what comes next; {_due(decide_unaware(walk))}"
        return
    said = (started.effect, started.redo, started.resolution_sequence)
    if said != (decided.node.effect, decided.redo, decided.resolution_sequence):
        yield Rule.PLAN, f"{where} began with another effect, redo or resolution than its plan and log say"


def _child_faults(head: RunHead, walk: Walk, started: fact_events_pb2.ChildStarted) -> Iterator[Fault]:
    where = instance(started.instance)
    yield from _begin_faults(head, where, ran_ahead=False)
    decided = _decided_start(walk, where)
    if decided is None:
        yield Rule.PLAN, f"{where} is not what comes next"
        return
    planned = child_start(walk, "", decided, started.input_digest)
    planned.run_id = started.run_id
    if started != planned:
        yield Rule.PLAN, f"{where} started another playbook, or under other conditions, than its plan says"


def _begin_faults(head: RunHead, where: Instance, *, ran_ahead: bool) -> Iterator[Fault]:
    if (head.stop is not None or head.held) and not ran_ahead:
        yield Rule.STOPPED, f"{where} began under {head.stop or 'a hold'}"


def _decided_start(walk: Walk, where: Instance) -> Start | None:
    starts = (intent for intent in decide_unaware(walk) if isinstance(intent, Start))
    return next((start for start in starts if start.instance == where), None)


def _choice_faults(walk: Walk, choice: node_events_pb2.ChoiceMade) -> Iterator[Fault]:
    where = instance(choice.instance)
    if Choose(where) not in decide_unaware(walk):
        yield Rule.PLAN, f"{where} has no choice to make"
    elif choice.cause:
        if choice.target or choice.cause not in UNDECIDED:
            yield Rule.PLAN, f"{where} failed to choose for a cause that no guard has"
    elif choice.target not in {step.target for step in walk.plan.choices[where.node]}:
        yield Rule.PLAN, f"no guarded step leads from {where} to {choice.target}"


def _settlement_faults(
    walk: Walk, settled: Collection[Instance], settlement: node_events_pb2.NodeSettled
) -> Iterator[Fault]:
    where = instance(settlement.instance)
    if where in settled:
        yield Rule.SETTLED_ONCE, f"{where} was settled before"
    elif settlement.effect != walk.spec(where.place).effect:
        yield Rule.PLAN, f"{where} was settled with another effect than its plan says"
    elif faults := list(question_faults(settlement)):
        yield from ((Rule.PLAN, f"{where}: {fault}") for fault in faults)
    elif settlement.HasField("question") and walk.spec(where.place).WhichOneof("kind") not in ("function", "agentic"):
        yield Rule.PLAN, f"{where} asks a person, and only functions and agents do"
    elif not _fits_jump(walk, where.node, settlement.outcome):
        yield Rule.PLAN, f"{where} was jumped over where no jump is, or failed where one is"
    elif where in _under_way(walk):
        if settlement.resolution_sequence:
            yield Rule.FACT, f"{where} was settled by an answer while it was under way"
    elif not _follows(walk, where, settlement):
        yield Rule.SETTLED_ONCE, f"{where} was settled, and neither work nor a fact stands behind it"


def _fits_jump(walk: Walk, node: str, outcome: instances_pb2.Outcome.ValueType) -> bool:
    if not walk.jumps_over(node):
        return outcome != instances_pb2.OUTCOME_JUMPED_OVER
    return outcome not in (instances_pb2.OUTCOME_FAILED, instances_pb2.OUTCOME_ASKED)


def _follows(walk: Walk, where: Instance, settlement: node_events_pb2.NodeSettled) -> bool:
    if where.place not in walk.active or walk.instance(where.place) != where:
        return False
    if walk.nodes[where.place].phase is Phase.MAPPING:
        return ends(walk, settlement)
    expected = overdue(walk, where.place)
    if isinstance(expected, Start):
        return False
    due = [event.node_settled for event in expected if event.WhichOneof("kind") == "node_settled"]
    return any(_gist(one) == _gist(settlement) for one in due)


def _gist(settlement: node_events_pb2.NodeSettled) -> tuple[int, int, int]:
    return settlement.outcome, settlement.cause, settlement.resolution_sequence


def _record_faults(event: RunEvent, kind: str, intents: Sequence[Intent]) -> Iterator[Fault]:
    due = [one for intent in intents if isinstance(intent, Record) for one in intent.events]
    if any(one.WhichOneof("kind") == kind and _without_text(one) == _without_text(event) for one in due):
        return
    left = any(one.WhichOneof("kind") == "run_output" for one in due)
    if not (left and event.run_ended.cause == instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE):
        # How much a run may leave is a setting, which no log has.
        yield Rule.PLAN, f"{kind} is not what comes next; {_due(intents)}"


def _due(intents: Sequence[Intent]) -> str:
    """What should have come, in words."""
    due: list[str] = []
    for intent in intents:
        match intent:
            case Start() | Choose():
                due.append(str(intent.instance))
            case Record():
                due += [event.WhichOneof("kind") or "" for event in intent.events]
    return f"due was {' or '.join(due)}" if due else "nothing was due"


def _without_text(event: RunEvent) -> RunEvent:
    copy = RunEvent()
    copy.CopyFrom(event)
    if copy.WhichOneof("kind") == "run_ended":
        copy.run_ended.ClearField("message")
        if copy.run_ended.state != run_states_pb2.RUN_STATE_COMPLETED:
            copy.run_ended.ClearField("output_digest")  # what a shard leaves may be too large to be left
    return copy


def taking_faults(walk: Walk, voided: Collection[int], taken: int) -> Iterator[Fault]:
    """Whether a fact was there to be taken up, and the first. `voided` are those whose voiding the holder may not know."""
    untaken = [sequence for sequence, fact in walk.facts.items() if walk.is_wanted(fact)]
    standing = [sequence for sequence in untaken if sequence in voided or not walk.facts[sequence].void]
    known = [sequence for sequence in standing if sequence not in voided]
    if taken not in (*standing[:1], *known[:1]):
        yield Rule.FACT, f"{taken} is not the first fact to be taken up"


def fact_faults(walk: Walk, recorded: fact_events_pb2.FactRecorded) -> Iterator[Fault]:
    """Whether somebody waits for the fact, and whether it is about what was asked."""
    where = instance(recorded.instance) if recorded.HasField("instance") else None
    wait = walk.waits.get(where) if where is not None else None
    fact = recorded.WhichOneof("fact") or ""
    if fact in RESOLVES:
        if wait is None or wait.fact_sequence or wait.opened.WhichOneof("wait") not in RESOLVES[fact]:
            yield Rule.FACT, f"{fact} for {where}, which does not wait for it"
        elif fact == "decision":
            yield from ((Rule.FACT, fault) for fault in decision_faults(recorded.decision, wait.opened.approval))
        elif (
            fact == "approval_withdrawn" and recorded.approval_withdrawn.approval_id != wait.opened.approval.approval_id
        ):
            yield Rule.FACT, f"{where} asks for another approval than the one that was withdrawn"
        elif fact == "wait_expired" and has_come(walk, wait.opened.signal.name):
            yield Rule.FACT, f"{where} expired, and the signal that it waits for had come"
    elif fact in ASKING:
        asked = wait.opened.approval.approval_id if wait is not None and not wait.fact_sequence else ""
        if not asked or getattr(recorded, fact).approval_id != asked:
            yield Rule.FACT, f"{fact} for {where}, which does not wait for a person"
    elif fact == "signal":
        yield from ((Rule.FACT, fault) for fault in signal_faults(walk, recorded.signal))
    elif fact == "child_ended":
        waited = wait is not None and not wait.fact_sequence and wait.child == recorded.child_ended.run_id
        if waited == recorded.child_ended.stale:
            yield Rule.FACT, f"the end of a child for {where}, which {'waits' if waited else 'does not wait'} for it"
    elif fact == "resolution":
        doubt = walk.doubts.get(where) if where is not None else None
        if doubt is None or doubt.resolution_sequence:
            yield Rule.FACT, f"an answer for {where}, which is not in doubt"
        elif doubt.report_sequence != recorded.resolution.report_sequence:
            yield Rule.FACT, f"an answer for {where} that had not seen its last report"


def _under_way(walk: Walk) -> list[Instance]:
    return [walk.instance(place) for place in walk.active if walk.nodes[place].phase is Phase.STARTED]

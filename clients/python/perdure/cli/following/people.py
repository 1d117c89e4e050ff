"""What people have said, and what became of what they are asked, as a line says it."""

from perdure.cli.printing.words import because, enum_word
from perdure.v1 import decisions_pb2, fact_events_pb2


def told(recorded: fact_events_pb2.FactRecorded) -> str:
    """What a fact says that is addressed to a hold point."""
    match recorded.WhichOneof("fact"):
        case "decision":
            decision = recorded.decision
            kind = enum_word(decisions_pb2.DecisionKind.DESCRIPTOR, decision.kind)
            by = "by itself" if decision.automatic else f"by {decision.decider}"
            return because(f"{kind} {by}", decision.reason)
        case "approval_escalated":
            return f"is escalated, and asks {', '.join(recorded.approval_escalated.to)} as well"
        case "approval_delegated":
            delegated = recorded.approval_delegated
            return because(f"is handed to {delegated.to} by {delegated.delegator}", delegated.reason)
        case "approval_commented":
            return f"{recorded.approval_commented.author} says: {recorded.approval_commented.text}"
        case "approval_withdrawn":
            withdrawn = recorded.approval_withdrawn
            return because(f"is withdrawn by {withdrawn.requester}", withdrawn.reason)
        case "approval_reminded":
            return "reminds of its decision"
        case _:
            return ""

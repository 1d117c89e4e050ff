"""Hold points: what must be true of what they ask for, and their plan."""

from collections.abc import Iterator
from typing import Final

from perdure.runlog.decisions import FIELDS
from perdure.v1 import decisions_pb2, plans_pb2
from perdure_control_plane.manifests.compiled_values import duration, json_of
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.maps import placed
from perdure_control_plane.manifests.model import ApprovalNode, Manifest

DEFAULT_EXPIRY_SECONDS: Final = 86_400.0
"""Time an approval stays open where its node names none."""

CONTENT: Final = "content"
"""Key of the output under which the content of a decision is, where its node names none."""

_DECISIONS: Final = {
    "approve": ("approved", "rejected"),
    "review": ("approved", "rejected", "edited"),
    "input": ("rejected", "provided"),
    "select": ("rejected", "selected"),
}
"""What each kind allows where its node does not say it."""

_WITH_CONTENT: Final = ("edited", "provided")


def decisions(node: ApprovalNode) -> tuple[str, ...]:
    """What a person can say."""
    return _DECISIONS[node.kind] if node.decisions is None else tuple(node.decisions)


def content_key(node: ApprovalNode) -> str:
    """Where a decision's content is in the output; empty where none has any."""
    return (node.content_key or CONTENT) if _may_have_content(node) else ""


def outputs(node: ApprovalNode) -> tuple[str, ...]:
    """All fields that its output can have."""
    key = content_key(node)
    return (*FIELDS, key) if key else FIELDS


def compiled_approval(node: ApprovalNode) -> plans_pb2.ApprovalNode:
    """The plan of a node without faults."""
    allowed = [decisions_pb2.DecisionKind.Value(f"DECISION_KIND_{word.upper()}") for word in decisions(node)]
    made = plans_pb2.ApprovalNode(
        prompt=node.prompt,
        subject=json_of(node.subject),
        expiry=duration(node.timeout_seconds or DEFAULT_EXPIRY_SECONDS),
        kind=decisions_pb2.ApprovalKind.Value(f"APPROVAL_KIND_{node.kind.upper()}"),
        allowed=sorted(allowed),
        options=[plans_pb2.ApprovalOption(id=option.id, label=option.label) for option in node.options],
        default_option=node.default_option or "",
        content_key=content_key(node),
        four_eyes=sorted({decisions_pb2.FourEyes.Value(f"FOUR_EYES_{rule.upper()}") for rule in node.four_eyes}),
    )
    if node.content_schema is not None:
        made.content_schema = json_of(node.content_schema)
    return made


def approval_faults(manifest: Manifest) -> Iterator[Diagnostic]:
    """Faults of all hold points."""
    for path, node, _ in placed(manifest):
        if isinstance(node, ApprovalNode):
            for field, reason in (*_decision_faults(node), *_option_faults(node), *_content_faults(node)):
                yield Diagnostic(f"{path}.{field}", "APPROVAL_UNCLEAR", reason)


def _decision_faults(node: ApprovalNode) -> Iterator[tuple[str, str]]:
    given = decisions(node)
    if len(set(given)) < len(given):
        yield "decisions", "a decision stands in it twice"
    if not set(given) - {"rejected"}:
        yield "decisions", "nothing lets the run go on; add approved, edited, selected or provided"


def _option_faults(node: ApprovalNode) -> Iterator[tuple[str, str]]:
    ids = [option.id for option in node.options]
    if "selected" not in decisions(node):
        for field in ("options", "default_option"):
            if getattr(node, field):
                yield field, "nothing can be selected; write `kind: select`, or add selected to its decisions"
    elif len(ids) < 2:
        yield "options", "one is to be selected; write two options or more"
    elif len(set(ids)) < len(ids):
        yield "options", "an id stands in it twice"
    elif node.default_option is not None and node.default_option not in ids:
        yield "default_option", f"is none of the options; they are {', '.join(ids)}"


def _content_faults(node: ApprovalNode) -> Iterator[tuple[str, str]]:
    if not _may_have_content(node):
        for field in ("content_schema", "content_key"):
            if getattr(node, field) is not None:
                yield field, "no decision has content; write `kind: review` or `kind: input`, or add edited or provided"
    elif node.content_key in FIELDS:
        yield "content_key", f"{node.content_key} is in its output already; choose another name"


def _may_have_content(node: ApprovalNode) -> bool:
    return any(word in _WITH_CONTENT for word in decisions(node))

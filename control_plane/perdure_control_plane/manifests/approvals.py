"""Hold points: what must be true of what they ask for, and their plan."""

from collections.abc import Iterator
from itertools import chain
from typing import Final

from perdure.expressions.templates import OPEN
from perdure.runlog.decisions import FIELDS, PRINCIPALS, ROLE, decision_kind, has_content
from perdure.v1 import decisions_pb2, plans_pb2
from perdure_control_plane.domain.roles import DECIDING_ROLES
from perdure_control_plane.manifests.compiled_values import duration, json_of
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.maps import placed
from perdure_control_plane.manifests.model import ApprovalNode, Manifest, Rung

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
    allowed = map(decision_kind, decisions(node))
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
        assignees=node.assignees,
        quorum=node.quorum,
        on_timeout=decisions_pb2.OnTimeout.Value(f"ON_TIMEOUT_{node.on_timeout.upper()}"),
        escalate_to=map(_rung, node.escalate_to),
        reminders=map(duration, node.remind_after_seconds),
        artifacts=node.artifacts,
    )
    if node.content_schema is not None:
        made.content_schema = json_of(node.content_schema)
    return made


def _rung(rung: Rung) -> decisions_pb2.Escalation:
    timeout = duration(rung.timeout_seconds) if rung.timeout_seconds is not None else None
    return decisions_pb2.Escalation(to=rung.to, timeout=timeout)


def approval_faults(manifest: Manifest) -> Iterator[Diagnostic]:
    """Faults of all hold points."""
    for path, node, _ in placed(manifest):
        if isinstance(node, ApprovalNode):
            faults = (_decision_faults, _option_faults, _content_faults, _asked_faults, _quorum_faults, _timeout_faults)
            for field, reason in chain.from_iterable(found(node) for found in faults):
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
    return any(map(has_content, decisions(node)))


def _asked_faults(node: ApprovalNode) -> Iterator[tuple[str, str]]:
    yield from _assignee_faults("assignees", node.assignees)
    for index, rung in enumerate(node.escalate_to):
        yield from _assignee_faults(f"escalate_to[{index}].to", rung.to)


def _assignee_faults(field: str, assignees: list[str]) -> Iterator[tuple[str, str]]:
    for index, assignee in enumerate(assignees):
        role = assignee.removeprefix(ROLE)
        if role != assignee and role not in DECIDING_ROLES:
            roles = " or ".join(f"`{ROLE}{known}`" for known in DECIDING_ROLES)
            yield f"{field}[{index}]", f"{role!r} is no role that decides; write {roles}"
        elif role == assignee and OPEN not in assignee and not assignee.startswith(PRINCIPALS):
            known = ", ".join(f"`{one}NAME`" for one in PRINCIPALS)
            yield f"{field}[{index}]", f"{assignee[:80]!r} is nobody's name; write {known}, or `{ROLE}NAME`"
        elif assignee in assignees[:index]:
            yield f"{field}[{index}]", "it stands in it twice"


def _timeout_faults(node: ApprovalNode) -> Iterator[tuple[str, str]]:
    given = decisions(node)
    if node.on_timeout == "continue" and "approved" not in given and not node.default_option:
        with_what = "add approved" if "selected" not in given else "name its default_option"
        yield "on_timeout", f"it does not say with what the run goes on by itself; {with_what}, or write `fail`"
    if (node.on_timeout == "escalate") != bool(node.escalate_to):
        yield "escalate_to", "name who is asked as well, with `on_timeout: escalate`, or leave out both"
    for index, rung in enumerate(node.escalate_to[:-1]):
        if rung.timeout_seconds is None:
            yield f"escalate_to[{index}].timeout_seconds", "is required where another rung follows"
    expiry = node.timeout_seconds or DEFAULT_EXPIRY_SECONDS
    for index, seconds in enumerate(node.remind_after_seconds):
        if seconds >= expiry or any(seconds < before + 0.001 for before in node.remind_after_seconds[:index]):
            reason = f"reminders come one after the other, and before {expiry:g} seconds, when its time is over"
            yield f"remind_after_seconds[{index}]", reason


def _quorum_faults(node: ApprovalNode) -> Iterator[tuple[str, str]]:
    people = [assignee for assignee in node.assignees if not assignee.startswith(ROLE)]
    if node.quorum > 1 and _may_have_content(node):
        yield "quorum", "several people do not write the very same; leave out edited and provided, or ask one"
    if people and len(people) == len(node.assignees) < node.quorum:
        yield "quorum", f"{node.quorum} must say the same, and {len(people)} are asked; name more, or a role"

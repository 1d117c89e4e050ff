"""Resource names: `runs/{run}` and so on, read and checked."""

import re
from typing import Final

from perdure.runlog.instances import NAME
from perdure_control_plane.domain.api_key import holds_key_text
from perdure_control_plane.domain.errors import field_invalid
from perdure_control_plane.domain.ids import AgentId, ApprovalId, FlowId, PlaybookId, RunId, SessionId, TaskId


def run_id(name: str, field: str = "name") -> RunId:
    """The id in `runs/{run}`. Raises FieldInvalid."""
    return RunId(_only(_RUN, name, field, "runs/{run}"))


def flow_id(name: str, field: str = "name") -> FlowId:
    """The id in `flows/{flow}`. Raises FieldInvalid."""
    return FlowId(_only(_FLOW, name, field, "flows/{flow}"))


def session_id(name: str, field: str = "name") -> SessionId:
    """The id in `sessions/{session}`. Raises FieldInvalid."""
    return SessionId(_only(_SESSION, name, field, "sessions/{session}"))


def schedule_id(name: str, field: str = "name") -> str:
    """The id in `schedules/{schedule}`. Raises FieldInvalid."""
    return _only(_SCHEDULE, name, field, "schedules/{schedule}")


def queue(name: str, field: str = "name") -> str:
    """The queue in `queues/{queue}`. Raises FieldInvalid."""
    return _only(_QUEUE, name, field, "queues/{queue}")


def key(name: str, field: str = "name") -> str:
    """The key in `keys/{key}`. Raises FieldInvalid."""
    return _only(_KEY, name, field, "keys/{key}")


def webhook(name: str, field: str = "name") -> str:
    """The webhook in `webhooks/{webhook}`. Raises FieldInvalid."""
    return _only(_WEBHOOK, name, field, "webhooks/{webhook}")


def webhook_delivery(name: str, field: str = "name") -> tuple[str, str]:
    """Webhook and event in `webhooks/{webhook}/deliveries/{event}`. Raises FieldInvalid."""
    webhook, event = _parts(_DELIVERY, name, field, "webhooks/{webhook}/deliveries/{event}")
    return webhook, event


def playbook_id(name: str, field: str = "name") -> PlaybookId:
    """The id in `playbooks/{playbook}`. Raises FieldInvalid."""
    return PlaybookId(_only(_PLAYBOOK, name, field, "playbooks/{playbook}"))


def approval_id(name: str, field: str = "name") -> ApprovalId:
    """The id in `approvals/{approval}`. Raises FieldInvalid."""
    return ApprovalId(_only(_APPROVAL, name, field, "approvals/{approval}"))


def agent_id(name: str, field: str = "name") -> AgentId:
    """The id in `agents/{agent}`. Raises FieldInvalid."""
    return AgentId(_only(_AGENT, name, field, "agents/{agent}"))


def playbook_version(name: str, field: str = "name") -> tuple[PlaybookId, str]:
    """Playbook and version in `playbooks/{playbook}/versions/{version}`. Raises FieldInvalid."""
    playbook, version = _parts(_VERSION, name, field, "playbooks/{playbook}/versions/{version}")
    return PlaybookId(playbook), version


def task_id(name: str, field: str = "name") -> tuple[SessionId, TaskId]:
    """Session and task in `sessions/{session}/tasks/{task}`. Raises FieldInvalid."""
    session, task = _parts(_TASK, name, field, "sessions/{session}/tasks/{task}")
    return SessionId(session), TaskId(task)


def chosen_id(value: str, field: str) -> str:
    """An id that the caller chose. Raises FieldInvalid."""
    if not NAME.fullmatch(value):
        raise field_invalid(field, f"{value!r} is not 1 to 128 of letters, digits, '.', '_' and '-'")
    return value


def named_in(request: object) -> str:
    """The resource that a request is about, by its field `name`; empty where no resource can be called so.

    What looks like the text of a key is nobody's name: whoever reads this may not have it.
    """
    name = getattr(request, "name", "")
    is_name = any(pattern.fullmatch(name) for pattern in _EVERY)
    return name if is_name and not holds_key_text(name) else ""


def id_in(request: object) -> str:
    """The id that a caller has given a request, or the key of a start; empty where that is none."""
    given = getattr(request, "request_id", "") or getattr(request, "idempotency_key", "")
    return given if isinstance(given, str) and NAME.fullmatch(given) and not holds_key_text(given) else ""


def _only(pattern: re.Pattern[str], name: str, field: str, form: str) -> str:
    return _parts(pattern, name, field, form)[0]


def _parts(pattern: re.Pattern[str], name: str, field: str, form: str) -> tuple[str, ...]:
    match = pattern.fullmatch(name)
    if match is None:
        raise field_invalid(field, f"{name!r} is not of the form {form}" if name else f"is required, as {form}")
    return match.groups()


_ID: Final = f"({NAME.pattern})"
_RUN: Final = re.compile(f"runs/{_ID}")
_FLOW: Final = re.compile(f"flows/{_ID}")
_SESSION: Final = re.compile(f"sessions/{_ID}")
_SCHEDULE: Final = re.compile(f"schedules/{_ID}")
_QUEUE: Final = re.compile(f"queues/{_ID}")
_WEBHOOK: Final = re.compile(f"webhooks/{_ID}")
_DELIVERY: Final = re.compile(f"webhooks/{_ID}/deliveries/([A-Za-z0-9._-]{{1,150}})")
_KEY: Final = re.compile(f"keys/{_ID}")
_PLAYBOOK: Final = re.compile(f"playbooks/{_ID}")
_APPROVAL: Final = re.compile(f"approvals/{_ID}")
_AGENT: Final = re.compile(f"agents/{_ID}")
_VERSION: Final = re.compile(f"playbooks/{_ID}/versions/{_ID}")
_TASK: Final = re.compile(f"sessions/{_ID}/tasks/{_ID}")
_EVERY: Final = (
    _RUN,
    _FLOW,
    _SESSION,
    _SCHEDULE,
    _QUEUE,
    _WEBHOOK,
    _DELIVERY,
    _KEY,
    _PLAYBOOK,
    _APPROVAL,
    _AGENT,
    _VERSION,
    _TASK,
)

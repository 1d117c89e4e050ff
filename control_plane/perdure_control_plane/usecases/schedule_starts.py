"""What a schedule starts, as it is kept with it, and as each of its firings starts it."""

import base64
import json
from dataclasses import asdict, replace

from perdure.v1 import plans_pb2
from perdure_control_plane.domain.flow import RequestSource
from perdure_control_plane.domain.ids import FlowId, PlaybookId, SessionId
from perdure_control_plane.domain.schedule import Schedule
from perdure_control_plane.usecases.ports import Transaction
from perdure_control_plane.usecases.start_flow import Checked, Start, place_needed


def kept(start: Start) -> str:
    """A start as it is kept."""
    values = asdict(start)
    values["input"] = base64.b64encode(start.input).decode()
    return json.dumps(values, sort_keys=True)


def start_of(schedule: Schedule) -> Start:
    """What a schedule starts; without a key of its own."""
    values = json.loads(schedule.start)
    values["input"] = base64.b64decode(values["input"])
    values["source"] = RequestSource(**values["source"])
    values["playbook_id"], values["session_id"] = PlaybookId(values["playbook_id"]), SessionId(values["session_id"])
    values["labels"] = tuple(values["labels"])
    values["flow_id"] = FlowId(values["flow_id"]) if values["flow_id"] else None
    return Start(**values)


def checked_start(tx: Transaction, schedule: Schedule, scheduled_at: int) -> Checked:
    """The start of one firing, under a key that no other has. What it starts was checked when the schedule was made."""
    start = replace(start_of(schedule), idempotency_key=f"schedule.{schedule.uid}.{scheduled_at}")
    release = tx.playbooks.release(start.playbook_id, start.version)
    plan = plans_pb2.Plan.FromString(tx.playbooks.plan(release.plan_digest))
    value = start.input or b"{}"
    place = place_needed(plan, json.loads(value))
    return Checked(start, plan, value, place)

"""Who may not decide an approval."""

from perdure_control_plane.domain.approval import Approval, FourEyes
from perdure_control_plane.domain.ids import Principal
from perdure_control_plane.usecases.ports import Transaction


def excluded_by(tx: Transaction, approval: Approval) -> dict[Principal, FourEyes]:
    """Whom four eyes keep from deciding it. What it reads never changes, so nothing has to be locked."""
    return {_excluded(tx, approval, rule): rule for rule in reversed(approval.four_eyes)}


def _excluded(tx: Transaction, approval: Approval, rule: FourEyes) -> Principal:
    if rule is FourEyes.NOT_STARTER:
        return tx.flows.get(approval.flow_id).principal
    identity = tx.runs.get(approval.run_id).identity
    return tx.playbooks.author(identity.playbook_id, identity.playbook_version)

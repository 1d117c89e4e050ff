"""The functions of the playbook beside this file: an executor loads them with --functions."""

from perdure_executor.node_context import Call


def ship(call: Call) -> dict[str, object]:
    """Ships what was paid."""
    return {"shipped": f"an order of {call.inputs['amount']}"}


FUNCTIONS = {"ship": ship}

"""The function of the playbook beside this file: an executor loads it with --functions."""

from perdure_executor.node_context import Call


def greet(call: Call) -> dict[str, object]:
    """Greets whoever the node names. What a function returns is its node's output."""
    call.log(f"attempt {call.attempt} of {call.node}")
    return {"greeting": f"Good morning, {call.inputs['who']}!"}


FUNCTIONS = {"greet": greet}

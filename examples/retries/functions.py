"""The functions of the playbook beside this file: an executor loads them with --functions."""

from perdure_executor.node_context import Call, NodeFailure


def fetch(call: Call) -> dict[str, object]:
    """A source that answers at the third time of asking."""
    if call.attempt < 3:
        raise ConnectionError("the source does not answer")
    return {"notes": "three planets, one moon"}


def draft(call: Call) -> dict[str, object]:
    """Writes a text, and signs it where the review before asked for that."""
    signature = " Signed." if "signature" in call.inputs["review"] else ""
    return {"text": f"Seen tonight: {call.inputs['notes']}.{signature}"}


def review(call: Call) -> dict[str, object]:
    """Refuses a text without a signature."""
    if "Signed" not in call.inputs["text"]:
        raise NodeFailure("the signature is missing")
    return {"accepted": True}


FUNCTIONS = {"fetch": fetch, "draft": draft, "review": review}

"""Functions that executors are started with; none of them does anything to the world."""

from typing import Any


def noop(call: Any) -> dict[str, Any]:
    """Succeeds."""
    return {}


def echo(call: Any) -> dict[str, Any]:
    """Gives back what it is given."""
    return {"said": dict(call.inputs)}


def fail(call: Any) -> dict[str, Any]:
    """Fails."""
    raise RuntimeError("it went wrong")


FUNCTIONS = {"noop": noop, "echo": echo, "fail": fail}

"""What the measured nodes do: nothing, so that what is left is the price of doing it durably."""

from perdure_executor.node_context import Call


async def nothing(call: Call) -> None:
    pass


async def output(call: Call) -> dict[str, bool]:
    return {"done": True}


FUNCTIONS = {"nodes": nothing, "nodes_with_output": output}

"""What an executor can do: one file per kind of node, and the table of them."""

from collections.abc import Callable
from typing import Final

from perdure_executor.contracts import check_needs
from perdure_executor.node_context import NodeContext, Prepared
from perdure_executor.nodes import agentic, approval, command, function, mapping, part, playbook, wait
from perdure_executor.promises import promising
from perdure_executor.redacted_work import redacting
from perdure_executor.results import CannotPrepare
from perdure_executor.sealing import check_given

KINDS: Final[dict[str, Callable[[NodeContext], Prepared]]] = {
    "agentic": agentic.prepare,
    "deterministic": command.prepare,
    "function": function.prepare,
    "approval": approval.prepare,
    "wait": wait.prepare,
    "playbook": playbook.prepare,
    "map": mapping.prepare,
    "part": part.prepare,
}
"""How each kind of node is made ready, by its field in PlanNode."""


def prepare(context: NodeContext) -> Prepared:
    """Makes a node ready: evaluates its expressions and finds what does it. A fault is a Failed, not an exception."""
    node = context.node
    try:
        check_given(context)
        if context.steps or node.HasField("requires"):
            check_needs(node, context.steps, context.see())
        # Promises are about what the work gave, and not about what is left of that.
        return redacting(context, promising(context, KINDS[node.WhichOneof("kind") or ""](context)))
    except CannotPrepare as unfit:
        return unfit.failure

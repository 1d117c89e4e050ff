"""A node made ready. A fault here is that node's alone, and its failure: nothing of it has begun."""

import structlog

from perdure.runlog.json_objects import json_bytes
from perdure_executor.node_context import NodeContext, Prepared, Spawn, Work
from perdure_executor.nodes import prepare
from perdure_executor.results import fault_of_ours
from perdure_executor.sealing import sealed

log = structlog.get_logger(__name__)


def made_ready(context: NodeContext) -> tuple[Prepared, bytes | None]:
    """What is to be done, and the JSON of what it is called with; None where it takes nothing."""
    try:
        prepared = sealed(context, prepare(context))
        given = prepared.arguments if isinstance(prepared, Work | Spawn) else None
        return prepared, None if given is None else json_bytes(given)
    except Exception as error:  # whoever walks the run would lose it, and so would everybody after
        log.exception("node.not_prepared", run=context.run_id, node=context.node.id)
        return fault_of_ours(error, begun=False), None

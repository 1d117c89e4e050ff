"""The back-off: a pause before a node is tried again."""

import random

from perdure.v1 import plans_pb2


def retry_delay(node: plans_pb2.PlanNode, failures: int) -> float:
    """Seconds before the next attempt after so many failures in a row, drawn with the node's jitter; 0 for none."""
    if not node.HasField("backoff") or node.inject_into:
        return 0.0
    spec = node.backoff
    initial, maximum = spec.initial.ToMicroseconds() / 1e6, spec.maximum.ToMicroseconds() / 1e6
    full = min(maximum, initial * max(1.0, spec.factor) ** max(0, failures - 1))
    return full * (1 - spec.jitter * random.random())  # noqa: S311  # jitter, not a secret

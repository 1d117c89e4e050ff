"""What follows the decision: it writes down outside of everything that it was done, and under which key."""

import os
from typing import Any


def release(call: Any) -> dict[str, Any]:
    """Writes a line into the ledger, whole or not at all."""
    descriptor = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{call.run_id}\n".encode())
    finally:
        os.close(descriptor)
    return {}


FUNCTIONS = {"release": release}

"""Where a server is, as people write it."""

import re
from typing import Final

DEFAULT_PORT: Final = 7400
DEFAULT_SERVER: Final = f"127.0.0.1:{DEFAULT_PORT}"

_NAMED: Final = re.compile(r"(dns|ipv4|ipv6|unix|unix-abstract|xds):.+")
"""gRPC's own forms, for several servers behind one name among other things; see its naming document."""

_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>\d{1,5}))?")


def is_local(address: str) -> bool:
    """Whether what is said to an address stays on this machine."""
    host = address.rpartition(":")[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.") or address.startswith("unix")


def server_address(text: str) -> str:
    """HOST:PORT with the port that may have been left out; gRPC's own forms stay as they are.

    Raises ValueError, saying what an address looks like.
    """
    if _NAMED.fullmatch(text):
        return text
    found = _HOST.fullmatch(text)
    if found is None or not 0 < int(found["port"] or DEFAULT_PORT) < 1 << 16:
        raise ValueError(f"{text!r} is no address; say HOST:PORT, such as {DEFAULT_SERVER} or [::1]:{DEFAULT_PORT}")
    return text if found["port"] else f"{text}:{DEFAULT_PORT}"

"""What a server is."""

from dataclasses import dataclass


@dataclass(slots=True)
class ServerIdentity:
    """One process. Its generation rises when it finds that its store went back."""

    server_id: str
    version: str
    generation: int
    store: str

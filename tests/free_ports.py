"""Ports for servers that go away and come back at the same address."""

import secrets
import socket


def free_port() -> int:
    """A port below those that the system gives to connections, so that nothing takes it while the server is away."""
    while True:
        port = secrets.randbelow(20_000) + 10_000
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port

"""Where races are run: two control planes and an executor, processes of their own, over one PostgreSQL."""

import asyncio
import pathlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from perdure.client import Client
from perdure.v1.playbooks_pb2 import (
    CreatePlaybookVersionRequest,
    Evidence,
    PlaybookDocument,
    PlaybookVersion,
    PublishPlaybookVersionRequest,
)
from perdure.v1.sessions_pb2 import CreateSessionRequest
from tests.fuzz.servers import Servers, claims, signed

REPLICAS: Final = 2
SESSION: Final = "races"
PEOPLE: Final = {"admin": "admin", "ada": "reviewer", "bob": "reviewer", "cal": "reviewer"}
"""Who there is, and as what: `admin` starts and stops, the others decide."""
_PLAYBOOK: Final = """
playbook_id: {name}
version: 1.0.0
title: A gate
objective: Ask, then release once
nodes:
  - {{id: gate, type: approval, prompt: "release?", {gate}}}
  - {{id: release, type: function, function: release, effect: at_most_once}}
"""
GATES: Final = {
    "patient": "timeout_seconds: 3600",
    "hurried": "timeout_seconds: 2",
    "several": "timeout_seconds: 3600, quorum: 2",
    "goes-on": "timeout_seconds: 2, on_timeout: continue",
    "climbs": "timeout_seconds: 2, on_timeout: escalate, escalate_to: [{to: ['role:reviewer'], timeout_seconds: 3600}]",
}
"""Playbooks, and what is said of their gates: how many are asked, for how long, and what becomes of it then."""


@dataclass
class House:
    """The processes, and a connection of each person to each control plane."""

    servers: Servers
    ledger: pathlib.Path
    doors: dict[str, list[Client]]
    """By the person, one for each control plane."""
    versions: dict[str, PlaybookVersion]

    @property
    def admin(self) -> Client:
        """Who starts things and looks at them."""
        return self.doors["admin"][0]

    def launches(self) -> "Counter[str]":
        """How often what follows the gate was done, by the run."""
        return Counter(self.ledger.read_text().split()) if self.ledger.exists() else Counter()


@asynccontextmanager
async def house(directory: pathlib.Path, database: str) -> AsyncIterator[House]:
    """Starts everything, and ends it whatever happens."""
    ledger = directory / "ledger"
    functions = pathlib.Path(__file__).with_name("functions.py")
    servers = Servers(directory, database, REPLICAS, functions, {"LEDGER": str(ledger)})
    try:
        await asyncio.to_thread(servers.start)
        async with AsyncExitStack() as stack:
            doors = {
                person: [
                    await stack.enter_async_context(Client(address, key=signed(claims(person, role)), attempts=1))
                    for address in servers.addresses
                ]
                for person, role in PEOPLE.items()
            }
            await doors["admin"][0].sessions.CreateSession(CreateSessionRequest(session_id=SESSION))
            versions = {name: await _published(doors["admin"][0], name) for name in GATES}
            yield House(servers, ledger, doors, versions)
    finally:
        await asyncio.to_thread(servers.stop)


async def _published(admin: Client, name: str) -> PlaybookVersion:
    document = PlaybookDocument(text=_PLAYBOOK.format(name=name, gate=GATES[name]).encode())
    made = await admin.playbooks.CreatePlaybookVersion(CreatePlaybookVersionRequest(document=document))
    published = PublishPlaybookVersionRequest(
        name=made.name, digest=made.digest, evidence=[Evidence(kind="review", id="races")]
    )
    return await admin.playbooks.PublishPlaybookVersion(published)

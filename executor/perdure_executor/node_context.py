"""What a node's work is given: its place, what it sees, and how it says what happens."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from perdure.encryption.codec import Codec
from perdure.runlog.instances import Instance
from perdure.runlog.json_objects import JsonObject
from perdure.runlog.walk import Walk
from perdure.v1 import fact_events_pb2, node_events_pb2, plans_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor.calls import Calls
from perdure_executor.commands import Supervisor
from perdure_executor.providers import Provider
from perdure_executor.results import Failed, Result
from perdure_executor.secret_sources import SecretSources


@dataclass(slots=True)  # one for each attempt: frozen, it takes four times as long to make
class Call:
    """What a function is called with."""

    inputs: JsonObject
    """The node's inputs, their expressions evaluated."""
    run_id: str
    node: str
    attempt: int
    key: Callable[[], str]
    log: Callable[[str], None]
    """Writes a line for the run's operators into its log."""
    hide: Callable[[str], None]
    """Says that a value of at least six characters is secret: this executor writes it nowhere any more."""
    ask: Any
    """Asks a person, as `perdure_executor.asking.Asking` says when it is called, and ends this attempt until there is an
    answer."""

    @property
    def idempotency_key(self) -> str:
        """Give it to whatever the function changes: the same work has the same key after any crash."""
        return self.key()


class NodeFailure(Exception):  # named for what it brings about
    """Raise it in a function to fail its node with a message, which is shown wherever the run is, and to later nodes.

    Of any other exception the type and the place are shown; its text goes into the run's log lines.
    """


Function = Callable[[Call], "Awaitable[JsonObject | None] | JsonObject | None"]


@dataclass(frozen=True, slots=True)
class Equipment:
    """What this executor has to work with."""

    supervisor: Supervisor
    functions: Mapping[str, Function]
    calls: Calls
    workspace: str
    """Directory that commands and workspace tools start from."""
    environment: Mapping[str, str]
    """Variables that every command gets."""
    max_payload_bytes: int
    max_task_output_bytes: int
    kill_grace: float
    """Seconds between asking a command's group to end and ending it."""
    providers: Mapping[str, Provider]
    """Where agents may think, by name."""
    secrets: SecretSources = field(default_factory=SecretSources)
    """What its nodes may refer to."""
    codec: Codec = field(default_factory=Codec)
    """What opens what it reads, and encrypts what it writes."""


class Reporter(Protocol):
    """How a node's work says what happens, while it happens."""

    def say(self, event: RunEvent) -> None:
        """Appends a data event."""

    async def keep(self, event: RunEvent) -> None:
        """Appends a data event and returns when it is stored."""

    async def room(self) -> None:
        """Returns when there is room for more output on its way to the log."""

    @property
    def asked_to_end(self) -> bool:
        """Whether somebody wants the work to end: a stop came, or its time limit has passed."""


@dataclass(slots=True)
class NodeContext:
    """One attempt of a node."""

    node: plans_pb2.PlanNode
    instance: Instance
    run_id: str
    lease_id: str
    key: Callable[[], str]
    """Its idempotency key; computed when asked for."""
    see: Callable[[], JsonObject]
    """What its expressions may use; computed when first asked for."""
    equipment: Equipment
    walk: Walk
    """The walk of its run, for what is told of one part to another."""
    units: Mapping[str, bytes] = field(default_factory=dict)
    """Units of an agent that are recorded already, by name, in the order of the log."""
    steps: Sequence[plans_pb2.PlanEdge] = ()
    """The steps that the walk took to it and that have a contract."""

    def opened(self, given: JsonObject) -> JsonObject:
        """What the node is called with, secrets in place of references; for its work alone. Raises SecretUnavailable."""
        if not self.node.secrets:
            return given
        equipment, places = self.equipment, [one.keys for one in self.node.secrets]
        opened: JsonObject = equipment.secrets.opened(given, places, equipment.codec)
        return opened


@dataclass(slots=True)  # one for each attempt: frozen, it takes four times as long to make
class Work:
    """A node that is ready to be done. `begin` starts it; cancelling it ends the work."""

    begin: Callable[[Reporter], Awaitable[Result]]
    arguments: JsonObject | None = None
    """What it is called with, for the log; None where it takes nothing."""
    command: str = ""
    """For a command, the program's name."""
    folder: str = ""
    """Directory that its files are below; empty for the executor's workspace."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A node that waits for what comes from outside."""

    subject: bytes
    """Canonical JSON of what a person is shown; empty where nobody is asked."""
    wait: fact_events_pb2.WaitOpened


@dataclass(frozen=True, slots=True)
class Spawn:
    """A node that is a run of its own: of another playbook, or a part."""

    arguments: JsonObject
    """What the child is given."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A node that is done for every item of a list."""

    count: int
    items: bytes
    """JSON of the list."""
    first: int = 0
    """Index of the first of these items in the whole list."""
    shard_size: int = 0
    """Items of each shard; 0 where they are done in this run."""
    done: Sequence[int] = ()
    """Indexes of those that an earlier attempt has done, in order."""
    redos: Sequence[node_events_pb2.ItemRedo] = ()
    """How often "retry as new" was said of others."""


Prepared = Work | Ask | Spawn | Mapped | Failed

TEXT_LIMIT: Final = 1024
"""Bytes of a line for people."""


def line(text: str) -> str:
    """A text as one line for people, cut to what a control event takes."""
    cut = " ".join(text.split()).encode(errors="replace")[:TEXT_LIMIT]
    return cut.decode("utf-8", errors="ignore")

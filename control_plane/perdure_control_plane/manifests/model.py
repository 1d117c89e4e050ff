"""What a manifest may hold: its fields, their types and bounds. What must hold between them is in `checks`."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, StringConstraints, Tag

from perdure.runlog.decisions import MAX_ASSIGNEES, MAX_RUNGS
from perdure.runlog.instances import NAME
from perdure.runlog.json_objects import JsonObject
from perdure.runlog.plans import MAX_ITEMS, MAX_LISTED

Name = Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
DecisionWord = Literal["approved", "rejected", "edited", "selected", "provided"]
MAX_NODES: Final = 1000
"""Most nodes, or phases, of a plan."""


class Part(BaseModel):
    """A part of a manifest: unknown fields are faults, and values are never converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Requirement(Part):
    """A reference to evidence that must be there."""

    kind: Line
    id: Line
    description: str = ""


class Input(Part):
    """One input, in the short form."""

    name: Line
    description: str = ""
    required: bool = False


Inputs = Annotated[
    Annotated[JsonObject, Tag("schema")] | Annotated[list[Input], Tag("list")],
    Discriminator(lambda value: "list" if isinstance(value, list) else "schema"),
]
"""A JSON Schema, or the short form."""


class Role(Part):
    """Someone a phase or node speaks of."""

    role_id: Name
    purpose: str = ""


class Phase(Part):
    """One stretch of a playbook that has no nodes: an agent does it."""

    phase_id: Name
    objective: Line
    acceptance_criteria: list[Line] = []
    required_evidence: list[Requirement] = []


class Tools(Part):
    """Tools that agents of this playbook may and may not call."""

    allow: list[Line] = []
    deny: list[Line] = []
    enforce: bool = True


class RuntimeDefaults(Part):
    """Where agents think, unless their node says otherwise."""

    provider: Line = "builtin"
    model: Line = "offline"


class Scopes(Part):
    """Guidance for reviewers; nothing is granted by it."""

    capability_scope: str = ""
    credential_scope: str = ""


class OnFailure(Part):
    """What follows when a node fails."""

    max_iterations: Annotated[int, Field(ge=0, le=10)] | None = None
    inject_into: str | None = None
    escalate: bool = False


class Retry(Part):
    """The back-off, a pause before the next attempt."""

    initial_seconds: Annotated[float, Field(ge=0, le=3600)] = 1.0
    maximum_seconds: Annotated[float, Field(ge=0, le=86400)] = 60.0
    factor: Annotated[float, Field(ge=1, le=10)] = 2.0
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.2


class Needs(Part):
    """What must be there before a node begins."""

    source: str | None = Field(alias="from", default=None)
    fields: list[Line] = []
    json_schema: JsonObject | None = Field(alias="schema", default=None)


class PromisedFile(Part):
    """A file that a node leaves below its directory."""

    path: Line
    min_bytes: Annotated[int, Field(ge=0)] = 0
    max_bytes: Annotated[int, Field(ge=0)] | None = None
    sha256: str = ""


class Promises(Part):
    """What must be there when a node has succeeded, or else it has failed."""

    fields: list[Line] = []
    json_schema: JsonObject | None = Field(alias="schema", default=None)
    exit_code: Annotated[int, Field(ge=0, le=255)] | None = None
    output_files: Annotated[
        list[
            Annotated[PromisedFile, BeforeValidator(lambda given: {"path": given} if isinstance(given, str) else given)]
        ],
        Field(max_length=100),
    ] = []
    """Each a path, or an object."""


class EdgeContract(Part):
    """What is agreed between two nodes."""

    requires: list[Line] = []
    ensures: list[Line] = []
    json_schema: JsonObject | None = Field(alias="schema", default=None)


Effect = Literal["none", "idempotent", "at_most_once", "compensable"]


class Node(Part):
    """What every kind of node has."""

    id: Name
    description: str = ""
    depends: list[str] = []
    on_failure: OnFailure = OnFailure()
    retry: Retry | None = None
    requires: Needs | None = None
    ensures: Promises | None = None
    queue: Name | None = None
    labels: Annotated[list[Name], Field(max_length=20)] = []


class AgenticNode(Node):
    """Work done by a language model with tools."""

    type: Literal["agentic"]
    agent: Name | None = None
    skill: Name | None = None
    role: str = "worker"
    prompt: Annotated[str, StringConstraints(min_length=1, max_length=65536)]
    inputs: JsonObject = {}
    provider: Line | None = None
    model: Line | None = None
    tools: list[Line] | None = None
    workspace: str = ""
    output_schema: JsonObject | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=86400)] | None = None


class DeterministicNode(Node):
    """Work done by a program."""

    type: Literal["deterministic"]
    command: Line
    args: list[str] = []
    cwd: str = ""
    env: dict[Annotated[str, StringConstraints(pattern="^[A-Za-z_][A-Za-z0-9_]*$")], str] = {}
    stdin: str = ""
    shell: bool = False
    output: Literal["text", "json"] = "text"
    success_exit_codes: list[Annotated[int, Field(ge=0, le=255)]] = [0]
    sensitive: Annotated[list[Line], Field(max_length=100)] = []
    effect: Effect | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=86400)] | None = None
    timeout_ms: Annotated[int, Field(ge=0, le=86_400_000)] | None = None


class FunctionNode(Node):
    """Work done in the executor's own process."""

    type: Literal["function"]
    function: Line
    inputs: JsonObject = {}
    sensitive: Annotated[list[Line], Field(max_length=100)] = []
    effect: Effect | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=86400)] | None = None


class ApprovalOption(Part):
    """One of several ways to go on."""

    id: Name
    label: Annotated[str, StringConstraints(max_length=4096)] = ""


Assignee = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
"""A principal, or a role as `role:reviewer`; a principal may hold expressions."""


class Rung(Part):
    """Who is asked as well when the time before is over."""

    to: Annotated[list[Assignee], Field(min_length=1, max_length=MAX_ASSIGNEES)]
    timeout_seconds: Annotated[float, Field(ge=0.001, le=31_536_000)] | None = None


def _option(given: Any) -> Any:
    return {"id": given} if isinstance(given, str) else given


class ApprovalNode(Node):
    """A hold point."""

    type: Literal["approval"]
    kind: Literal["approve", "review", "input", "select"] = "approve"
    prompt: Annotated[str, StringConstraints(min_length=1, max_length=65536)]
    subject: JsonObject = {}
    decisions: Annotated[list[DecisionWord], Field(min_length=1)] | None = None
    options: Annotated[list[Annotated[ApprovalOption, BeforeValidator(_option)]], Field(max_length=100)] = []
    default_option: Name | None = None
    content_schema: JsonObject | None = None
    content_key: Name | None = None
    four_eyes: list[Literal["not_starter", "not_author"]] = ["not_starter"]
    assignees: Annotated[list[Assignee], Field(max_length=MAX_ASSIGNEES)] = []
    quorum: Annotated[int, Field(ge=1, le=MAX_ASSIGNEES)] = 1
    timeout_seconds: Annotated[float, Field(gt=0, le=31_536_000)] | None = None
    on_timeout: Literal["fail", "continue", "escalate"] = "fail"
    escalate_to: Annotated[list[Rung], Field(max_length=MAX_RUNGS)] = []
    artifacts: Annotated[list[Line], Field(max_length=20)] = []
    remind_after_seconds: Annotated[list[Annotated[float, Field(ge=0.001)]], Field(max_length=MAX_RUNGS)] = []
    policy: Literal["conservative", "permissive", "custom"] = "conservative"


class WaitNode(Node):
    """A pause until a time or a signal: one of `duration_seconds`, `until` and `signal`."""

    type: Literal["wait"]
    duration_seconds: Annotated[float, Field(gt=0, le=31_536_000)] | None = None
    until: Line | None = None
    signal: Name | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=31_536_000)] | None = None
    payload_schema: JsonObject | None = None


class PlaybookNode(Node):
    """A run of another playbook."""

    type: Literal["playbook"]
    playbook_id: Name
    version: Name
    digest: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")] | None = None
    inputs: JsonObject = {}
    timeout_seconds: Annotated[float, Field(gt=0, le=31_536_000)] | None = None


OneNode = AgenticNode | DeterministicNode | FunctionNode | ApprovalNode | WaitNode | PlaybookNode


class MapNode(Node):
    """The same node for every item of a list."""

    type: Literal["map"]
    items: Line
    node: Annotated[Annotated[OneNode, Field(discriminator="type")], BeforeValidator(lambda given: _of_map(given))]
    max_parallel: Annotated[int, Field(ge=1, le=MAX_ITEMS)] = 10
    on_item_failure: Literal["fail", "continue"] = "fail"
    tolerated_failures: Annotated[int, Field(ge=1, le=MAX_LISTED)] | None = None


def _of_map(given: Any) -> Any:
    if isinstance(given, dict) and "id" in given:
        raise ValueError("the node inside a map has the map's id; leave its own out")
    if isinstance(given, dict) and given.get("type") == "map":
        raise ValueError("a map has no map inside; let one go over the results of the other")
    return {**given, "id": "item"} if isinstance(given, dict) else given


AnyNode = Annotated[OneNode | MapNode, Field(discriminator="type")]


Words = Annotated[
    list[Line], Field(min_length=1), BeforeValidator(lambda given: [given] if isinstance(given, str) else given)
]
"""One word, or several."""


class Edge(Part):
    """A step from one node to another."""

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    when: Line | None = None
    on: Words | None = None
    contract: EdgeContract | None = None


class FailureTaker(Part):
    """What follows when a node has failed for good."""

    on: Words = ["failed"]
    nodes: Annotated[list[str], Field(min_length=1)] | None = None
    action: Literal["go_to", "escalate", "continue", "fail"]
    to: str | None = None
    output: JsonObject | None = None
    cause: Line | None = None
    message: Annotated[str, StringConstraints(max_length=256)] | None = None


class Concurrency(Part):
    """How many runs go on at once whose key says the same."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    limit: Annotated[int, Field(ge=1, le=100_000)]
    at_limit: Literal["queue", "refuse"] = "queue"


class Manifest(Part):
    """A whole playbook version."""

    playbook_id: Name
    version: Name
    title: Annotated[Line, StringConstraints(pattern=r"^[^\r\n]*$")]
    objective: Line
    description: str = ""
    inputs: Inputs = {}
    sensitive_inputs: Annotated[list[Line], Field(max_length=100)] = []
    preconditions: list[Line] = []
    roles: list[Role] = []
    phases: Annotated[list[Phase], Field(max_length=MAX_NODES)] = []
    nodes: Annotated[list[AnyNode], Field(max_length=MAX_NODES)] = []
    edges: list[Edge] = []
    acceptance_criteria: list[Line] = []
    evidence_expectations: list[Line] = []
    required_evidence: list[Requirement] = []
    tools: Tools = Tools()
    runtime_defaults: RuntimeDefaults = RuntimeDefaults()
    scopes: Scopes = Scopes()
    error_handlers: Annotated[list[FailureTaker], Field(max_length=100)] = []
    timeout_seconds: Annotated[float, Field(gt=0, le=31_536_000)] | None = None
    labels: Annotated[list[Name], Field(max_length=20)] = []
    concurrency: Concurrency | None = None
    metadata: JsonObject = {}

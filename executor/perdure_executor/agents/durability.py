"""The seam to pydantic-ai's durable execution: whatever its agent does outside itself becomes a unit of the journal."""

from collections.abc import Awaitable, Callable

from pydantic_ai.durable_exec import (
    JSON_CODEC,
    BaseDurabilityCapability,
    CallableOperationBackend,
    DurabilityEngineSpec,
    DurableOperationId,
    JournalOperationNamer,
    ModelRequestId,
    RoleBasedOperationConfig,
    ToolsetCallToolId,
)

from perdure_executor.agents.journal import UnitJournal


class RunLogDurability(BaseDurabilityCapability[None]):
    """Records the units of one agent's one attempt. An agent that has it runs nowhere else."""

    engine_spec = DurabilityEngineSpec(
        engine_name="Perdure",
        durable_unit_noun="unit",
        durable_container_noun="run",
        codec=JSON_CODEC,
        # Units are numbered as they begin. Two at once would be numbered by chance.
        sequential_tools_in_durable_context=True,
    )

    def __init__(self, journal: UnitJournal) -> None:
        super().__init__()
        self._journal = journal

    @property
    def in_durable_context(self) -> bool:
        """Always: the capability is made for one attempt, and gone with it."""
        return True

    def get_durable_operation_backend(self) -> "_JournalBackend":
        """What runs the units."""
        return _JournalBackend(self._journal)


class _UnitKinds(JournalOperationNamer):
    """Our own names for what the library does; it adds `:` and the tool's name to a tool call."""

    def operation_name(self, operation_id: DurableOperationId) -> str:
        match operation_id:
            case ModelRequestId(streaming=False):
                return "model.request"
            case ToolsetCallToolId():
                return "call_tool"
            case _:
                # A name that is recorded is for ever, so none is made up for what no agent of ours does.
                raise NotImplementedError(f"{type(operation_id).__name__} has no name in the log")


class _JournalBackend(CallableOperationBackend[None]):
    def __init__(self, journal: UnitJournal) -> None:
        nothing = RoleBasedOperationConfig(model=None, event=None, capability=None, tool=None)
        super().__init__(namer=_UnitKinds("agent"), config=nothing)
        self._journal = journal

    async def execute(
        self,
        *,
        operation_id: DurableOperationId,
        name: str,
        body: Callable[[], Awaitable[object]],
        cache_key: tuple[object, ...],
        config: None,
    ) -> object:
        return await self._journal.unit(name, body)

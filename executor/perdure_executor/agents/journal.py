"""The units of one attempt of an agent: those recorded are given back, the others are done once and recorded.

Nothing here knows the agent library. A unit's name is its kind and a number that counts that kind's units from 0, such
as `model.request#0` or `call_tool:read_file#1`; names are stored, so they are for ever.
"""

import json
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from perdure.encryption.codec import CannotDecrypt, Codec
from perdure.runlog.instances import Instance
from perdure.runlog.json_objects import TooDeep, check_levels
from perdure.secrets.encrypted import is_encrypted
from perdure.v1 import instances_pb2, node_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor.results import Failed


class UnitUnusable(Exception):
    """A unit cannot be recorded, or what is recorded is not of this agent: the attempt fails."""

    def __init__(self, cause: instances_pb2.FailureCause.ValueType, message: str) -> None:
        super().__init__(message)
        self.failure = Failed(cause, message)


class UnitJournal:
    """Does units one after another; an agent that asks in the same order again gets the same results."""

    def __init__(
        self,
        instance: Instance,
        recorded: Mapping[str, bytes],
        keep: Callable[[RunEvent], Awaitable[None]],
        max_bytes: int,
        redacted: Callable[[Any], Any] = lambda result: result,
        codec: Codec | None = None,
    ) -> None:
        """`recorded` is in the order of the log. `keep` returns when an event is stored. `redacted` leaves out what is
        secret, from what the agent goes on with, too."""
        self._instance = instance
        self._recorded = deque(recorded.items())
        self._keep = keep
        self._max_bytes = max_bytes
        self._redacted = redacted
        self._codec = codec or Codec()
        self._done: Counter[str] = Counter()

    async def unit(self, kind: str, do: Callable[[], Awaitable[object]]) -> object:
        """The result of the next unit: as it is recorded, or of `do`, once that is recorded. Raises UnitUnusable."""
        name = f"{kind}#{self._done[kind]}"
        self._done[kind] += 1
        if self._recorded:
            content = self._next_recorded(name)
        else:
            content = self._encoded(name, await do())
            unit = node_events_pb2.UnitContent(instance=self._instance.message(), unit=name, json=content)
            await self._keep(RunEvent(unit_content=unit))
        # What is recorded is what the agent goes on with, so that the first time and every later one are the same.
        return self._read(name, content)

    def _read(self, name: str, content: bytes) -> object:
        found: object = json.loads(content)
        try:
            return self._codec.open(found) if isinstance(found, str) and is_encrypted(found) else found
        except CannotDecrypt as error:
            message = f"the unit {name} cannot be opened: {error}"
            raise UnitUnusable(instances_pb2.FAILURE_CAUSE_CANNOT_DECRYPT, message) from error

    def _next_recorded(self, name: str) -> bytes:
        recorded, content = self._recorded.popleft()
        if recorded != name:
            message = f"the log has the unit {recorded} where this executor's agent asks for {name}"
            raise UnitUnusable(instances_pb2.FAILURE_CAUSE_AGENT, message)
        return content

    def _encoded(self, name: str, result: object) -> bytes:
        try:
            check_levels(result)
            content = json.dumps(
                self._codec.sealed(self._redacted(result)), separators=(",", ":"), ensure_ascii=False, allow_nan=False
            ).encode()
        except TooDeep as error:
            raise UnitUnusable(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, f"the unit {name} {error}") from error
        except ValueError as error:
            message = f"the unit {name} has no JSON form: {type(error).__name__}"
            raise UnitUnusable(instances_pb2.FAILURE_CAUSE_NOT_CANONICAL, message) from error
        if len(content) > self._max_bytes:
            message = f"the unit {name} has {len(content)} bytes; the limit is {self._max_bytes}"
            raise UnitUnusable(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, message)
        return content

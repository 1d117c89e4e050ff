"""What a store is, in a few numbers: for whoever keeps copies of it."""

from dataclasses import dataclass

from sqlalchemy import func, select

from perdure_control_plane.domain.leases import StoreMark
from perdure_control_plane.domain.retention import Unpurged
from perdure_control_plane.storage.migrate import schema_of
from perdure_control_plane.storage.tables import run_events, runs
from perdure_control_plane.storage.unit_of_work import SqlTransaction


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """A store at one moment. A generation of 0: no server was ever started on it."""

    schema: str
    generation: int
    starts: int
    runs: int
    events: int
    """Of these runs."""
    unpurged: Unpurged


def store_facts(transaction: SqlTransaction) -> StoreFacts:
    """Reads them."""
    mark = transaction.copy.mark() or StoreMark(0, 0)
    run_count, event_count = (
        transaction.connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in (runs, run_events)
    )
    unpurged, schema = transaction.retention.unpurged(), schema_of(transaction.connection)
    return StoreFacts(schema, mark.generation, mark.starts, run_count, event_count - unpurged.events, unpurged)

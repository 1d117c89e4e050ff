"""Brings a database to the schema of this version, or says why it cannot."""

import pathlib
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, select
from sqlalchemy.engine import Connection, Engine

MIGRATIONS: Final = pathlib.Path(__file__).parent / "migrations"
MIGRATING: Final = 0x7065726475726500
"""Key of the advisory lock under which PostgreSQL databases are migrated: "perdure" and a zero byte."""


class SchemaUnknown(Exception):
    """The database has a schema that this version does not know. The message says what to do."""


def migrate(engine: Engine) -> None:
    """Applies the migrations that are missing to a SQLite database. Raises SchemaUnknown."""
    with engine.connect() as connection:
        # Said to the driver, so that a migration that is killed half-way leaves the schema as it was.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            _upgrade(connection)
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise


def migrate_postgres(connection: Connection) -> None:
    """Applies the migrations that are missing, in the connection's transaction. Raises SchemaUnknown.

    Of several servers that start at once one migrates, and the others wait for it.
    """
    connection.execute(select(func.pg_advisory_xact_lock(MIGRATING)))
    _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    if _known_revision(connection, scripts) != scripts.get_current_head():
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_current_schema(connection: Connection) -> None:
    """Raises SchemaUnknown where the database has not the schema of this version."""
    scripts = ScriptDirectory.from_config(_config())
    current = _known_revision(connection, scripts)
    if current != scripts.get_current_head():
        raise SchemaUnknown(
            f"the database has schema {current or 'none'}, older than this version's; start this version's server once"
        )


def schema_of(connection: Connection) -> str:
    """The name of the schema that a database has; empty where it has none."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def require_known_schema(schema: str) -> None:
    """Raises SchemaUnknown where a newer version made the schema; an older one is brought up to date by a start."""
    _require_known(schema, ScriptDirectory.from_config(_config()))


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _known_revision(connection: Connection, scripts: ScriptDirectory) -> str | None:
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None:
        _require_known(current, scripts)
    return current


def _require_known(schema: str, scripts: ScriptDirectory) -> None:
    if schema not in {script.revision for script in scripts.walk_revisions()}:
        raise SchemaUnknown(
            f"the database has schema {schema}, which this version does not know; it was written by a newer"
            " server: start that version, or restore a backup made before the upgrade"
        )

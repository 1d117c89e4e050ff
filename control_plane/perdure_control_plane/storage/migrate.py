"""Brings a database to the schema of this version, or says why it cannot."""

import pathlib
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection, Engine

MIGRATIONS: Final = pathlib.Path(__file__).parent / "migrations"


class SchemaUnknown(Exception):
    """The database has a schema that this version does not know. The message says what to do."""


def migrate(engine: Engine) -> None:
    """Applies the migrations that are missing. Raises SchemaUnknown."""
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        if _known_revision(connection, scripts) == scripts.get_current_head():
            return
        config.attributes["connection"] = connection
        # Said to the driver, so that a migration that is killed half-way leaves the schema as it was.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            command.upgrade(config, "head")
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise


def require_current_schema(engine: Engine) -> None:
    """Raises SchemaUnknown where the database has not the schema of this version."""
    scripts = ScriptDirectory.from_config(_config())
    with engine.connect() as connection:
        current = _known_revision(connection, scripts)
    if current != scripts.get_current_head():
        raise SchemaUnknown(
            f"the database has schema {current or 'none'}, older than this version's; start this version's server once"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _known_revision(connection: Connection, scripts: ScriptDirectory) -> str | None:
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise SchemaUnknown(
            f"the database has schema {current}, which this version does not know; it was written by a newer"
            " server: start that version, or restore a backup made before the upgrade"
        )
    return current

"""Brings a database to the schema of this version, or says why it cannot."""

import pathlib
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Engine

MIGRATIONS: Final = pathlib.Path(__file__).parent / "migrations"


class SchemaUnknown(Exception):
    """The database has a schema that this version does not know. The message says what to do."""


def migrate(engine: Engine) -> None:
    """Applies the migrations that are missing. Raises SchemaUnknown."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in known:
            raise SchemaUnknown(
                f"the database has schema {current}, which this version does not know; it was written by a newer"
                " server: start that version, or restore a backup made before the upgrade"
            )
        if current == scripts.get_current_head():
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

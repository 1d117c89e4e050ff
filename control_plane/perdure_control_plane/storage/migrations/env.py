"""Runs migrations on the connection that `migrate` opened; there is no other way in."""

from alembic import context

from perdure_control_plane.storage.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()

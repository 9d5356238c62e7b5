"""Runs Alembic on the connection, and in the transaction, that `migrate` passes to it."""

from alembic import context

from tracking.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()

"""Runs migrations on the connection the store hands over, inside its transaction."""

from alembic import context

from autoq.store.models import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()

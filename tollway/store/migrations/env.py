"""Alembic's entry: runs the migrations on the connection that `store/migrate.py` hands over."""

from alembic import context

import tollway.store.sign_in_schema
import tollway.store.trail_schema  # noqa: F401 - the same
from tollway.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()

"""Alembic's entry: runs the migrations on the connection that `store/migrate.py` hands over."""

from alembic import context

import tollway.store.sign_in_schema  # noqa: F401 - its tables are of the same metadata
from tollway.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()

"""Alembic's entry point: always runs on the connection from `agentgrid.db.migrate`."""

from alembic import context
from sqlmodel import SQLModel

import agentgrid.db.tables  # noqa: F401  (fills the metadata that `alembic check` compares against)

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    include_object=lambda obj, name, kind, reflected, compare_to: (
        not (kind == "table" and (name or "").startswith(("jobs_", "logs_")))
    ),
)
with context.begin_transaction():
    context.run_migrations()

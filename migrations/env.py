"""Runs the migrations on the connection that the program hands over; there is no alembic.ini."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("the log's migrations run inside `volet serve`, on its own connection")
# The caller's transaction holds schema and version number together; batch mode would lose the triggers.
context.configure(connection=connection, transactional_ddl=True, render_as_batch=False)
with context.begin_transaction():
    context.run_migrations()

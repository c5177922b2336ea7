"""First version: the chain of events, their erasable details, the members' random ids."""

from __future__ import annotations

from alembic import op

from orchestrator.runtime.event_store.schema import VERSION_1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in VERSION_1:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    raise NotImplementedError("a log only grows")

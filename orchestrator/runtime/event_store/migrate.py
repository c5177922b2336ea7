"""Bringing the database to the newest version, by Alembic and by addition only."""

from __future__ import annotations

from sqlalchemy import Connection

from orchestrator.resources import folder
from orchestrator.runtime.event_store.errors import LogUnavailable
from orchestrator.runtime.event_store.schema import HEAD


def migrate(connection: Connection) -> None:
    """Upgrade to HEAD inside the caller's transaction; LogUnavailable when a newer program wrote the log.

    Never in batch mode: it rebuilds a table and silently loses its triggers (FIELD 5).
    """
    if _revisions(connection) == [HEAD]:
        return
    # Here, because a log that is up to date needs no Alembic: it is a tenth of a daemon's memory.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(folder("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, HEAD)
    except CommandError as error:
        raise LogUnavailable(
            f"the log cannot be brought to version {HEAD} ({error}); was it written by a newer volet?"
        ) from error


def _revisions(connection: Connection) -> list[str]:
    """What Alembic has written about the database; nothing where it never was."""
    table = connection.exec_driver_sql(
        "SELECT name FROM sqlite_master WHERE name = 'alembic_version'"
    ).scalar()
    if table is None:
        return []
    return list(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars())

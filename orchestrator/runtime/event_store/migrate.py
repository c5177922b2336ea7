"""Bringing the database to the newest version: a new one at once, an older one by Alembic and by addition."""

from __future__ import annotations

from sqlalchemy import Connection

from orchestrator.resources import folder
from orchestrator.runtime.event_store.errors import LogUnavailable
from orchestrator.runtime.event_store.schema import HEAD, NEWEST, STAMP


def migrate(connection: Connection) -> None:
    """Upgrade to HEAD inside the caller's transaction; LogUnavailable when a newer program wrote the log.

    A new file is made as Alembic would make it, without it: it would stay a tenth of the daemon's memory.
    """
    if _is_empty(connection):
        for statement in (*NEWEST, STAMP):
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (HEAD,))
    elif _revisions(connection) != [HEAD]:
        upgrade(connection)


def upgrade(connection: Connection) -> None:
    """From whichever version to HEAD, by Alembic, inside the caller's transaction.

    Never in batch mode: it rebuilds a table and silently loses its triggers (FIELD 5).
    """
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


def _is_empty(connection: Connection) -> bool:
    return connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar() == 0


def _revisions(connection: Connection) -> list[str]:
    """What Alembic has written about the database; nothing where it never was."""
    table = connection.exec_driver_sql(
        "SELECT name FROM sqlite_master WHERE name = 'alembic_version'"
    ).scalar()
    if table is None:
        return []
    return list(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars())

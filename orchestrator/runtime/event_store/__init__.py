"""The durable log: an append-only chain in one SQLite file (CONTRACT 7). The only importer of sqlalchemy."""

from orchestrator.runtime.event_store.errors import (
    Fenced,
    LogError,
    LogTampered,
    LogUnavailable,
    NotAppended,
    NotChecked,
    OutcomeUnknown,
)
from orchestrator.runtime.event_store.reader import LogReader, backup, details_of, open_read_only, stream
from orchestrator.runtime.event_store.store import EventStore
from orchestrator.runtime.event_store.verify import Verdict, verify

__all__ = [
    "EventStore",
    "Fenced",
    "LogError",
    "LogReader",
    "LogTampered",
    "LogUnavailable",
    "NotAppended",
    "NotChecked",
    "OutcomeUnknown",
    "Verdict",
    "backup",
    "details_of",
    "open_read_only",
    "stream",
    "verify",
]

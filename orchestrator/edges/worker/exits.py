"""Why a worker ended: its diagnostics, bounded and cleaned, and the class they and its behaviour give."""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from urllib.parse import quote, urlsplit

from orchestrator.core.worker import FailureClass, WorkerSpec

MAX_LINE_BYTES = 500
MAX_SHOWN = 200
FIRST_LINES = 10
LAST_LINES = 40

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"]*")
INSTANCE = re.compile(r" @ 0x[0-9a-f]+")

# The words of ffmpeg 5.1 and 9.0 about a source that gave no frame, most telling first. Exit codes differ
# from version to version.
SAYINGS = (
    (
        FailureClass.UNAUTHORISED,
        re.compile(r"\b40[13] |authorization failed|video device .*Permission denied", re.IGNORECASE),
    ),
    (FailureClass.NOT_FOUND, re.compile(r"\b(404|410) |video device .*No such (file|device)")),
    (FailureClass.REFUSED, re.compile(r"Connection refused")),
    (
        FailureClass.UNREACHABLE,
        re.compile(
            r"No route to host|(Network|Host) is unreachable|Failed to resolve|Name or service not known"
            r"|name resolution|timed out|5XX Server Error|HTTP error 5\d\d"
        ),
    ),
    (FailureClass.ENDED, re.compile(r"ends prematurely|reset by peer|Broken pipe")),
    (
        FailureClass.NOT_A_PICTURE,
        re.compile(
            r"Invalid data found|Expected boundary|Could not find codec parameters|No JPEG data"
            r"|End of file|does not contain any stream|matches no streams|not allowed|not on whitelist"
        ),
    ),
)
NOISE = re.compile(r"Last message repeated|deprecated pixel format")
# Both versions exit so after a signal that they catch; 9.0 also when something is not permitted.
CAUGHT_A_SIGNAL = 255


class Diagnostics:
    """What a worker wrote to its standard error: the first and the last lines, whatever the flood."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._hidden = _hidden_words(spec)
        self._partial = b""
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=LAST_LINES)

    def feed(self, data: bytes) -> None:
        """Takes the next bytes; of an endless line only the beginning is kept."""
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = self._partial + whole[0]
            self._partial = b""
        self._partial = (self._partial + rest)[:MAX_LINE_BYTES]
        if len(whole) > FIRST_LINES + LAST_LINES:
            whole = whole[:FIRST_LINES] + whole[-LAST_LINES:]
        for line in whole:
            self._keep(line)

    def lines(self) -> list[str]:
        """The lines kept, oldest first, cleaned: no control characters, addresses, credentials."""
        unfinished = [self._clean(self._partial)] if self._partial.strip() else []
        return [*self._first, *self._last, *unfinished]

    def _keep(self, raw: bytes) -> None:
        line = self._clean(raw[:MAX_LINE_BYTES])
        if not line or NOISE.search(line):
            return
        if len(self._first) < FIRST_LINES:
            self._first.append(line)
        else:
            self._last.append(line)

    def _clean(self, raw: bytes) -> str:
        text = raw.decode("utf-8", "replace")
        text = ADDRESS.sub("(source)", INSTANCE.sub("", text))
        for word in self._hidden:
            text = text.replace(word, "(…)")
        return "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp")).strip()


def classify(
    lines: list[str], *, exit_code: int | None, signal: int | None, frames: int, stalled: bool
) -> tuple[FailureClass, str]:
    """The class of an end that nobody asked for, and the line that says most (CONTRACT 10)."""
    last = lines[-1][:MAX_SHOWN] if lines else ""
    if frames == 0 and (signal is None or stalled):
        for found, pattern in SAYINGS:
            said = next((line for line in lines if pattern.search(line)), None)
            if said is not None:
                return found, said[:MAX_SHOWN]
    if stalled:
        return FailureClass.STALLED, last
    caught = exit_code == CAUGHT_A_SIGNAL and not any("not permitted" in line for line in lines)
    if signal is not None or caught:
        return FailureClass.KILLED, last
    if exit_code == 0:
        return FailureClass.ENDED, last
    return FailureClass.UNKNOWN, last


def _hidden_words(spec: WorkerSpec) -> list[str]:
    """What must not be shown, longest first; a part too short to be told from other text is left."""
    words = {spec.source}
    if "://" in spec.source and (host := urlsplit(spec.source).hostname):
        words.add(host)
    if secret := spec.source_secret:
        user, _, password = secret.partition(":")
        words |= {secret, user, password, quote(user, safe=""), quote(password, safe="")}
    return sorted((word for word in words if len(word) >= 4), key=len, reverse=True)

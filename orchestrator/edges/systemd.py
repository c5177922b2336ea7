"""The service manager: tells it how we are (sd_notify(3)) and reads how often it wants to hear it."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send e.g. `READY=1`, `WATCHDOG=1` or `STATUS=…` (several: one a line). Never blocks, never raises.

    False when nobody asked for it, or the service manager could not take it now.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    address = f"\0{path[1:]}" if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(state.encode(), address)
    except (OSError, ValueError):
        return False
    return True


def watchdog_period_s() -> float | None:
    """Without a `WATCHDOG=1` for this long the service manager ends us; send it at half of this.

    None when it does not watch this process (sd_watchdog_enabled(3)).
    """
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = os.environ.get("WATCHDOG_USEC", "")
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        return None
    return int(text) / 1_000_000

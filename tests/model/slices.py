"""The alphabets, each searched to the end. Together they hold every step there is, and each protection
(fence, black box, locks, proof of a closing, retry, deadlines) beside each kind of fault (disk, kill,
facts, worker, people, time). What comes between is what may happen before the lane takes the next turn, or
the log answers."""

from __future__ import annotations

from tests.model.explore import Slice
from tests.model.world import STEPS

SESSION = ("the maintainer asks", "the first frame comes", "somebody closes", "the worker is proven gone")
VIEWER = ("a viewer joins", "the viewer leaves")
EXTENDS, FAILS, UNPROVEN = "the maintainer extends", "the worker fails", "the worker is not proven gone"
TICK, LATER = "ten seconds pass in a session", "ten minutes pass"
KILLED = "the process is killed and starts"
KILLED_LATE = "the process is killed and starts, and what was under way is there"
REFUSES, HANGS, WORKS = "the disk refuses", "the disk hangs", "the disk works again"
DISK = (REFUSES, HANGS, WORKS, "the disk works again, and what hung is there")
LISTENER, ACKNOWLEDGES = "a stray listener appears", "an approver acknowledges"


def _and_mended(*breaks: str) -> tuple[str, ...]:
    """Each thing that breaks, and its mending, which stands behind it in the table."""
    names = list(STEPS)
    return tuple(name for each in breaks for name in (each, names[names.index(each) + 1]))


SLICES = (
    Slice(
        "the log and the worker",
        (*SESSION, *DISK, KILLED, KILLED_LATE, FAILS, TICK, LATER),
        ("somebody closes", KILLED, KILLED_LATE, REFUSES, HANGS),
    ),
    Slice(
        "the log and the viewers",
        (*SESSION, *DISK, KILLED, KILLED_LATE, *VIEWER, EXTENDS),
        ("somebody closes", KILLED, KILLED_LATE, REFUSES, HANGS),
    ),
    Slice(
        "the log and the lane",
        (*SESSION, *DISK, TICK, *_and_mended("a vehicle comes", "the sensor fails")),
        ("a vehicle comes", "the sensor fails", HANGS),
    ),
    Slice(
        "the log and the locks",
        (*SESSION, *DISK[1:], KILLED, *_and_mended(LISTENER), ACKNOWLEDGES, UNPROVEN),
        (KILLED_LATE, LISTENER, HANGS),
    ),
    Slice(
        "the log and the black box",
        (
            *SESSION,
            REFUSES,
            WORKS,
            KILLED,
            *_and_mended("the black box takes nothing", LISTENER),
            ACKNOWLEDGES,
        ),
        (KILLED, REFUSES),
    ),
    Slice(
        "the facts",
        (
            *SESSION,
            *_and_mended(
                "the VPN goes", LISTENER, "the source listens on the LAN", "the configuration breaks"
            ),
            *_and_mended(
                "the broker goes", "anyone may publish", "swap is switched on", "the log's probe fails"
            ),
            *_and_mended("a vehicle comes", "the sensor fails", "the window is cancelled"),
            *_and_mended("the member loses the right"),
            ACKNOWLEDGES,
            *(FAILS, TICK, LATER),
        ),
        ("the VPN goes", "a vehicle comes", "swap is switched on", "the window is cancelled"),
    ),
    Slice(
        "the worker",
        (
            *(
                *SESSION,
                FAILS,
                "the camera does not let the worker in",
                UNPROVEN,
                ACKNOWLEDGES,
                *VIEWER,
                KILLED,
            ),
            *_and_mended("no worker can be started", "the sensor fails"),
            *(TICK, LATER),
        ),
        ("somebody closes", "the sensor fails"),
    ),
    Slice(
        "people and locks",
        (
            *(*SESSION, "somebody else asks as well", EXTENDS, *VIEWER, ACKNOWLEDGES, UNPROVEN, KILLED, TICK),
            *_and_mended(LISTENER, "swap is switched on", "a vehicle comes"),
        ),
        ("somebody closes", LISTENER, "swap is switched on", KILLED),
    ),
    Slice(
        "the clocks",
        (
            *(*SESSION, *VIEWER, EXTENDS, TICK, "the machine starts anew", "the wall clock steps back"),
            *_and_mended("the clock loses its source", "the wall clock steps on"),
        ),
        ("the wall clock steps back", "the clock loses its source", TICK),
    ),
    Slice(
        "the deadline",
        (*SESSION, *VIEWER, EXTENDS, FAILS, TICK, LATER, *_and_mended("the window is shortened")),
    ),
    Slice(
        "what grows old",
        (
            *(*SESSION, TICK, "ten seconds pass", "a viewer joins"),
            *_and_mended("nobody looks at the VPN any more", "the gateway is overloaded"),
        ),
        ("somebody closes", "ten seconds pass"),
    ),
)
BY_NAME = {alphabet.name: alphabet for alphabet in SLICES}

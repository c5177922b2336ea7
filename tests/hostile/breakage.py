"""What a generator of broken configurations hands over."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Breakage:
    """`data` is the file's content, None where no plain file lies; `last_touch` is done to its path when it
    is written. `at`: what a fault must name; `why`: what was done, for whom the test fails."""

    why: str
    at: str = ""
    data: bytes | None = None
    last_touch: Callable[[Path], object] | None = None

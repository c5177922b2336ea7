"""Ten thousand ways to break a configuration, each certain to be one; a seed and a number say which.

python -m tests.hostile.broken SEED NUMBER FOLDER     puts that file there again
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.hostile import broken_files, broken_tables, broken_text
from tests.hostile.breakage import Breakage

SEED = "volet-1"

KINDS: dict[str, tuple[int, Callable[[Random, Path], Breakage]]] = {
    **broken_tables.KINDS,
    **broken_text.KINDS,
    **broken_files.KINDS,
}
_WHEEL = [kind for kind, (share, _) in KINDS.items() for _ in range(share)]
Random(SEED).shuffle(_WHEEL)


@dataclass(frozen=True, slots=True)
class Broken:
    """One broken configuration: `path` is what `--config` is given; `kind` and `why` say what was done.
    `at` is what the answer must name, empty where the file as a whole is meant."""

    kind: str
    why: str
    at: str
    path: Path


def broken(seed: str, number: int, folder: Path) -> Broken:
    """Number `number` of that seed, put into `folder`, which is empty and ours alone."""
    random = Random(f"{seed}/{number}")
    kind = _WHEEL[number % len(_WHEEL)]
    breakage = KINDS[kind][1](random, folder)
    path = folder / "volet.toml"
    if breakage.data is not None:
        path.write_bytes(breakage.data)
        path.chmod(0o600)
    if breakage.last_touch is not None:
        breakage.last_touch(path)
    return Broken(kind, breakage.why, breakage.at, path)


if __name__ == "__main__":
    found = broken(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    sys.stdout.write(f"{found}\n")

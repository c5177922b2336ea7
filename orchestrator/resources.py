"""Where the statecharts and migrations lie: inside an installed package, or at the repository's top."""

from pathlib import Path
from typing import Literal


def folder(name: Literal["statecharts", "migrations"]) -> Path:
    """The absolute folder of that name.

    A wheel carries it inside the package; in a repository (and so in an editable install) it stands beside
    the package. A folder that is in neither place is answered with its place in the repository.
    """
    package = Path(__file__).resolve().parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name

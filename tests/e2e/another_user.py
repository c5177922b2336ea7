"""A command as another user, with the rights that a unit of ours leaves it, wherever the interpreter lies."""

import os
import re
import shlex
import stat
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.processes import ROOT

NOBODY = 65534
"""The daemon's user, and its primary group."""
GROUP = "nogroup"
STRANGER = 65533
"""A user and group that nothing here knows."""
_OTHERS = stat.S_IROTH | stat.S_IXOTH


def argv_as(user: int, unit: str, hold: Path, arguments: Sequence[str]) -> list[str]:
    """The words that run our interpreter with these arguments as that user (and group of that number), with
    the capabilities of that unit in `ops`. `hold` is an empty folder that anybody may enter."""
    return [*_view(hold), *rights_of(unit), f"--reuid={user}", *_member_of(user), *_python(), *arguments]


def argv_as_root(unit: str, group: int, arguments: Sequence[str]) -> list[str]:
    """As `argv_as`, for a unit of root's whose group is another."""
    return [*rights_of(unit), *_member_of(group), sys.executable, *arguments]


def rights_of(unit: str) -> list[str]:
    """setpriv's words for what a unit leaves its process: these capabilities at most, and no new ones."""
    text = (ROOT / "ops" / unit).read_text()
    bounding = re.search(r"^CapabilityBoundingSet=(.*)$", text, re.MULTILINE)
    assert bounding is not None
    assert "\nAmbientCapabilities=\n" in text
    assert "\nNoNewPrivileges=yes\n" in text
    kept = [f"+{name.lower().removeprefix('cap_')}" for name in bounding[1].split()]
    taken = ("--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs", "--pdeathsig=KILL")
    return ["setpriv", f"--bounding-set={','.join(['-all', *kept])}", *taken]


def _member_of(group: int) -> list[str]:
    return [f"--regid={group}", "--clear-groups"]


def _python() -> list[str]:
    """The interpreter that the virtual environment's is a link to, with what that environment has."""
    # Not by the environment's own link, which may lead through any folder to there.
    found = os.pathsep.join(map(str, (ROOT, *_packages())))
    settings = [f"PYTHONPATH={found}", "PYTHONDONTWRITEBYTECODE=1"]
    return ["env", *settings, os.path.realpath(sys.executable)]


def _packages() -> list[Path]:
    return [Path(path) for path in dict.fromkeys(map(sysconfig.get_path, ("purelib", "platlib")))]


def _needed() -> list[Path]:
    """What the interpreter reads: itself, its library, the environment's packages and this repository; a
    folder that lies in another one of them left out."""
    prefix, binary = Path(sys.base_prefix), Path(os.path.realpath(sys.executable)).parent
    paths = dict.fromkeys([ROOT, prefix, prefix.resolve(), binary, *_packages()])
    return [path for path in paths if not any(other in path.parents for other in paths)]


def _view(hold: Path) -> list[str]:
    """Words before a command: in a mount namespace of its own, an empty folder stands before each one that
    others may not enter (/root, a home), and in it nothing shows but what `_needed` names, to be read.
    No mode is changed, and nobody else sees it."""
    closed = {path: _closed_above(path) for path in _needed()}
    behind = [path for path, above in closed.items() if above is not None]
    lines = []
    if behind:
        lines.append(f"mount -t tmpfs view {_quoted(hold)}")
    for number, path in enumerate(behind):
        lines.append(f"mkdir {_quoted(hold)}/{number}")
        lines.append(f"mount --bind {_quoted(path)} {_quoted(hold)}/{number}")
    for above in dict.fromkeys(above for above in closed.values() if above is not None):
        lines.append(f"mount -t tmpfs -o mode=0755 view {_quoted(above)}")
    for number, path in enumerate(behind):
        lines.append(f"mkdir -p {_quoted(path)}")
        lines.append(f"mount -o bind,ro {_quoted(hold)}/{number} {_quoted(path)}")
    if behind:
        lines.append(f"umount -R {_quoted(hold)}")
    lines += [f"cd {_quoted(ROOT)}", 'exec "$@"']
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(lines), "sh"]


def _closed_above(path: Path) -> Path | None:
    """The topmost folder above that others may not enter. AssertionError when they may not read `path`."""
    mode = path.stat().st_mode
    assert not _OTHERS & ~mode, f"others may not read {path}: chmod -R o+rX {path}"
    for folder in reversed(path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None


def _quoted(path: Path) -> str:
    return shlex.quote(os.fspath(path))

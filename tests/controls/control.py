"""A negative control: one protection, the patch that takes it away, and the test that must fail then."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADER = ("holds", "protection", "switch", "failing test")


@dataclass(frozen=True, slots=True)
class Control:
    """Without `old` in `file` (`new` stands there instead) the product no longer has the protection.

    `holds` are the numbers of INVARIANTS that it serves, `protection` says in words what is there,
    `switch` is its name. `test` is the node id that must fail, within `limit_s`, and `says` a piece of that
    failure: it fails for this reason and not for another. `also` are further edits of that file, where the
    same protection stands in two places.
    """

    holds: str
    protection: str
    switch: str
    file: str
    old: str
    new: str
    test: str
    says: str
    also: tuple[tuple[str, str], ...] = ()
    limit_s: int = 100

    @property
    def numbers(self) -> tuple[str, ...]:
        """Its invariants, one by one."""
        return tuple(self.holds.split())

    def patched(self, text: str) -> str:
        """The text of the file without the protection. ValueError unless the patch fits exactly once."""
        for old, new in ((self.old, self.new), *self.also):
            found = text.count(old)
            if found != 1:
                raise ValueError(f"its text stands {found} times in {self.file}, and not once: {old.strip()}")
            text = text.replace(old, new)
        return text


def unfit(control: Control) -> str:
    """Why this control cannot run on the tree as it is: its patch does not fit or its test is not there;
    empty when it can."""
    try:
        patched = control.patched((ROOT / control.file).read_text())
        if control.file.endswith(".py"):
            ast.parse(patched)
    except (OSError, ValueError, SyntaxError) as error:
        return f"{control.switch}: {error}"
    if not is_there(control.test):
        return f"{control.switch}: there is no test {control.test}"
    return ""


def is_there(test: str) -> bool:
    """Whether a node id names a test (which parameters it has is for pytest to say)."""
    path, *names = re.sub(r"\[.*\]$", "", test).split("::")
    file = Path(ROOT, path)
    if not file.is_file():
        return False
    body: list[ast.stmt] = ast.parse(file.read_text()).body
    for name in names:
        wanted = (one for one in body if isinstance(one, _NAMED) and one.name == name)
        found = next(wanted, None)
        if found is None:
            return False
        body = found.body
    return bool(names)


_NAMED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

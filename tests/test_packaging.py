"""The wheel is whole: what is read at run time travels with it, and is found where it lies."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from orchestrator import resources

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("volet-*.whl"))


def test_the_wheel_carries_every_file_that_is_read_at_run_time(wheel: Path) -> None:
    carried = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        str(path.relative_to(ROOT))
        for folder in ("orchestrator/edges/http/console", "orchestrator/edges/worker/font")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    } | {
        f"orchestrator/{path.relative_to(ROOT)}"
        for folder in ("statecharts", "migrations")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert any(path.startswith("orchestrator/statecharts/") for path in wanted)
    assert any(path.startswith("orchestrator/migrations/") for path in wanted)
    assert wanted - carried == set()


def test_the_wheel_finds_its_own_statecharts_and_migrations(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    asked = "from orchestrator import resources as r; print(r.folder('statecharts'), r.folder('migrations'))"
    found = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {asked}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert found == [str(tmp_path / "orchestrator" / folder) for folder in ("statecharts", "migrations")]


def test_the_repository_finds_them_at_its_top() -> None:
    assert resources.folder("statecharts") == ROOT / "statecharts"
    assert resources.folder("migrations") == ROOT / "migrations"

"""`python -m tests.model.export`: writes the stories under tests/scenarios anew."""

from __future__ import annotations

from tests.model.slices import SLICES
from tests.model.stories import FOLDER, collected, file_of, text


def main() -> None:
    """Every story of today, and none of yesterday."""
    FOLDER.mkdir(exist_ok=True)
    found = {file_of(name): text(name, lines) for name, lines in collected(SLICES).items()}
    for path in set(FOLDER.glob("*.txt")) - set(found):
        path.unlink()
    for path, story in found.items():
        path.write_text(story)


if __name__ == "__main__":
    main()

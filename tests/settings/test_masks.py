"""By default the picture is masked: a purpose must say that it needs it otherwise (S19)."""

from pathlib import Path

from tests.settings.configuration import SMALL, edited, loaded

PURPOSE = '[[purposes]]\nname = "alignment"\n'


def test_a_purpose_that_says_nothing_of_masks_has_them_on(tmp_path: Path) -> None:
    assert [purpose.masks for purpose in loaded(tmp_path).policy.purposes] == [True]


def test_without_any_purpose_masks_are_on(tmp_path: Path) -> None:
    assert [purpose.masks for purpose in loaded(tmp_path, edited(PURPOSE, "")).policy.purposes] == [True]


def test_a_purpose_may_take_them_off_in_writing(tmp_path: Path) -> None:
    text = SMALL.replace(PURPOSE, PURPOSE + "masks = false\n")
    assert [purpose.masks for purpose in loaded(tmp_path, text).policy.purposes] == [False]

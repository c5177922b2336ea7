"""Openings, closings and the chain: each protection is taken out in turn, and its test fails."""

from __future__ import annotations

import pytest

from tests.controls.control import Control
from tests.controls.private_copy import PrivateCopy, show
from tests.controls.table import of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.parametrize("control", of("the_log"), ids=lambda control: control.switch)
def test_without_it_its_test_fails(copy: PrivateCopy, control: Control) -> None:
    show(copy, control)

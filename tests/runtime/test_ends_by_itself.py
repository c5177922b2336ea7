"""Each way in which a session ends or leaves nothing stands alone, though another would stand in for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.commands import SERVICE, Why
from orchestrator.runtime import site as site_module
from tests.runtime.one_gateway import gateway
from tests.runtime.stoppable_store import Hang


async def test_the_cameras_own_timer_ends_a_session_though_the_sentinel_sleeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S6: a second, of which the last quarter is `expiring`; nobody else looks."""
    monkeypatch.setattr(site_module, "SENTINEL_OPEN_S", 3600.0)
    monkeypatch.setattr(site_module, "SENTINEL_SHUT_S", 3600.0)
    async with gateway(tmp_path) as way:
        await way.opened(duration_s=1)
        way.clock.wait(0.75)
        await way.at("expiring.live")
        way.clock.wait(0.25)
        await way.at("disabled.ready")
        assert way.data("expire") == {"limit": "asked", "by": "timer"}


async def test_once_it_is_closed_no_picture_is_left_in_memory(tmp_path: Path) -> None:
    """S11."""
    async with gateway(tmp_path) as way:
        await way.opened()
        picture = way.site.cameras["cam1"].picture
        picture.header(b"header", "avc1.42C016")
        picture.fragment(b"fragment", True)
        picture.segment(b"segment", 1000)
        assert picture.segment_content(0) == b"segment"
        way.actor.close(Why("close", SERVICE))
        await way.at("disabled.ready")
        assert (picture.codecs, picture.playlist(), picture.segment_content(0)) == ("", None, None)
        assert [content async for content in picture.fragments("w-1")] == []


async def test_a_closing_waits_half_a_second_for_a_log_that_hangs_and_then_for_the_box_alone(
    tmp_path: Path,
) -> None:
    """S13, L2, L4: its proof too is kept before the log has said a word."""
    async with gateway(tmp_path) as way:
        await way.opened()
        hang = way.log.hang = Hang()
        way.actor.close(Why("close", SERVICE))
        await way.until(lambda: [one.sealed.event.name for one in way.box.entries().lines][-1:] == ["closed"])
        assert way.events()[-1] == "first_frame"
        hang.go_on.set()
        await way.until(lambda: way.events()[-1] == "closed")

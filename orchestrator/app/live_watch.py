"""One viewer's watch as the HTTP edge sees it: identity, watch and gate at every byte's door (S1, S9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from orchestrator.app.access import may_watch
from orchestrator.core.policy import Member
from orchestrator.edges.http.ports import Caller
from orchestrator.runtime.site import CameraParts
from orchestrator.runtime.watches import Watch, Watches


class LiveWatchOfSite:
    """Joins a watch with its camera's gate and picture."""

    def __init__(
        self,
        watch: Watch,
        watches: Watches,
        parts: CameraParts,
        member: Callable[[str], Member | None],
        still: Callable[[Caller], bool],
    ) -> None:
        self.id = watch.id
        self.camera = watch.camera
        self.codecs = parts.picture.codecs
        self._watch, self._watches, self._parts = watch, watches, parts
        self._member, self._still = member, still

    def may_flow(self, caller: Caller) -> bool:
        """Whether this caller may be sent picture at this very moment."""
        watch, member = self._watch, self._member(caller.member.id)
        return (
            self._parts.gate.is_open
            and self._watches.find(watch.id) is watch
            and (watch.member, watch.device) == (caller.member.id, caller.device)
            and may_watch(member, caller.device, watch.camera)
            and self._still(caller)
        )

    def attach(self, transport: asyncio.Transport) -> bool:
        """Put the connection under the gate."""
        sock = transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return False
        return self._parts.gate.attach(id(transport), sock.fileno(), self.id)

    async def fragments(self) -> AsyncGenerator[bytes, None]:
        """The MP4 from the newest key frame on."""
        self._watch.reading += 1
        try:
            async with aclosing(self._parts.picture.fragments(self.id)) as fragments:
                async for content in fragments:
                    yield content
        finally:
            self._watch.reading -= 1
            self._touch()

    def playlist(self) -> str | None:
        """The HLS playlist."""
        return self._parts.picture.playlist()

    def segment(self, number: int) -> bytes | None:
        """One live segment."""
        return self._parts.picture.segment_content(number)

    def sent(self, size_bytes: int) -> None:
        """Picture bytes were handed to this viewer."""
        self._watch.size_bytes += size_bytes
        self._touch()

    def _touch(self) -> None:
        self._watch.read_us = self._watches.boottime_us()

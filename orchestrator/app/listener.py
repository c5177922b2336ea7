"""The listener's life: there while the boundary stands, gone when it does not, anew when it has settled."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from orchestrator.core.moment import SECOND_US, Moment
from orchestrator.edges.http.server import HttpEdge
from orchestrator.edges.vpn.boundary import Boundary
from orchestrator.edges.vpn.sockets import Declared, listen
from orchestrator.runtime.board import Board, renewed

log = logging.getLogger(__name__)

TRY_AGAIN_S = 1.0


class Listener:
    """Owns the TCP listeners. A link that goes down and up again would serve by itself (F25), so they are
    closed with it, and made anew only when the interface has been good for `vpn.settle`."""

    def __init__(
        self,
        board: Board,
        http: HttpEdge,
        *,
        boundary: Callable[[], Boundary],
        port: Callable[[], int],
        now: Callable[[], Moment],
        judge: Callable[[], None],
        served: Callable[[], None],
    ) -> None:
        """`served` is told when it listens anew."""
        self._board, self._http = board, http
        self._boundary, self._port, self._now, self._judge = boundary, port, now, judge
        self._served = served
        self.declared: tuple[Declared, ...] = ()
        self._due = asyncio.Event()

    def bind(self) -> list[socket.socket]:
        """The sockets that the boundary's addresses ask for, bound to its device; OSError says what to do."""
        boundary, port = self._boundary(), self._port()
        sockets: list[socket.socket] = []
        try:
            for address in boundary.addresses():
                sockets.append(listen(address, port, boundary.interface))
        except OSError:
            for sock in sockets:
                sock.close()
            raise
        return sockets

    def declare(self, sockets: list[socket.socket]) -> None:
        """These listen from now on: what the audit looks for, and nothing else."""
        boundary, port = self._boundary(), self._port()
        self.declared = tuple(Declared(sock.getsockname()[0], port, boundary.interface) for sock in sockets)

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Serve on sockets that `bind` made."""
        self.declare(sockets)
        declared, device = self.declared, self._boundary().interface
        for sock in sockets:
            if self.declared is declared:
                await self._http.start_tcp(sock, device)
            else:
                sock.close()

    def exposed(self, detail: str) -> None:
        """A listener is not what it should be (S7, S8): every gate first, then the listener, made anew."""
        now_us = self._now().boottime_us
        self._board.listener = renewed(
            self._board.listener,
            now_us,
            False,
            fault="listener-exposed",
            detail=detail,
            evidence={"connection_without_device": True},
        )
        self._judge()
        self.shut(detail)

    def shut(self, why: str) -> None:
        """Close every TCP listener and connection now; without waiting."""
        if self.declared:
            log.warning("the listener is closed: %s", why)
        self.declared = ()
        self._http.close_tcp()
        self._due.set()

    def look(self) -> None:
        """The interface was looked at: shut at once when it is not good, serve again when it has settled."""
        now_us = self._now().boottime_us
        proof = self._board.interface
        if proof.fault_at(now_us) is not None:
            if self.declared:
                self.shut(proof.detail)
        elif not self.declared:
            self._due.set()

    async def keep(self) -> None:
        """Until cancelled: make the listener anew whenever it is due and the boundary has settled."""
        while True:
            await self._due.wait()
            self._due.clear()
            while not self.declared:
                await asyncio.sleep(self._wait_s())
                await self._try()

    def _wait_s(self) -> float:
        proof, now_us = self._board.interface, self._now().boottime_us
        if proof.fault_at(now_us) is not None or proof.since_us is None:
            return TRY_AGAIN_S
        return max(0, proof.since_us + self._board.policy.boundary_settle_us - now_us) / SECOND_US

    async def _try(self) -> None:
        proof, now_us = self._board.interface, self._now().boottime_us
        settled_us = (proof.since_us or now_us) + self._board.policy.boundary_settle_us
        if proof.fault_at(now_us) is not None or now_us < settled_us:
            return
        try:
            sockets = self.bind()
        except OSError as problem:
            log.warning("not listening yet: %s", problem)
            await asyncio.sleep(TRY_AGAIN_S)
            return
        if sockets:
            await self.serve(sockets)
            log.info("listening on %s", ", ".join(self._http.addresses))
            self._served()

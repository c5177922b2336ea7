"""A stand-in for tailscaled's LocalAPI: a real HTTP server on a Unix socket, quirks included (FIELD 3).

As a process of its own, `python -m tests.edges.vpn.tailscaled SOCKET` reads commands from standard input, one
JSON object a line, and answers "ok" to each: {"status": {…}} and {"self": {…}} change keys, {"node":
{"address": "100.64.0.7", "answer": {…} or null}} a whois answer, {"serve_config": …}, {"prefs": {…}},
{"state": "Stopped"}, {"notify": {…}}, {"end_bus": true}, {"answer_slowly": {"whois": 1.5}},
{"answer_garbage": {"status": "<html>"}}.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from aiohttp import web

STATES = (
    "NoState", "InUseOtherUser", "NeedsLogin", "NeedsMachineAuth", "Stopped", "Starting", "Running",
)  # fmt: skip
GATEWAY = ("100.101.102.103", "fd7a:115c:a1e0::1")
GATEWAY_ID = "nGATEWAY11CNTRL"
_NAMES = ("status", "whois", "serve-config", "prefs", "watch-ipn-bus")


def status(*addresses: str, **self_fields: Any) -> dict[str, Any]:
    """A healthy status; `self_fields` change `Self`."""
    own = {
        "ID": GATEWAY_ID,
        "HostName": "edge-gw",
        "DNSName": "edge-gw.tail0000.ts.net.",
        "UserID": 1,
        "TailscaleIPs": list(addresses or GATEWAY),
        "Online": True,
        "InNetworkMap": True,
    }
    return {
        "Version": "1.103.0",
        "TUN": True,
        "BackendState": "Running",
        "HaveNodeKey": True,
        "TailscaleIPs": own["TailscaleIPs"],
        "Self": own | self_fields,
        "Health": [],
        "Peer": None,
    }


def whois(
    stable_id: str,
    *addresses: str,
    login: str = "maintainer@example.com",
    capabilities: dict[str, Any] | None = None,
    **node_fields: Any,
) -> dict[str, Any]:
    """What whois answers for a node with these addresses; keys that would be empty are absent."""
    hosts = [f"{address}/{128 if ':' in address else 32}" for address in addresses]
    node = {"ID": 7, "StableID": stable_id, "Name": "laptop.tail0000.ts.net.", "User": 2, "Addresses": hosts}
    return {
        "Node": node | {"AllowedIPs": hosts} | node_fields,
        "UserProfile": {"ID": 2, "LoginName": login, "DisplayName": "Maintainer A"},
        "CapMap": capabilities,
    }


class StandIn:
    """One tailscaled. Its attributes are what it answers; change them at any time."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.status: Any = status()
        self.nodes: dict[str, Any] = {}
        self.serve_config: Any = None
        self.prefs: Any = {"ShieldsUp": False, "AdvertiseRoutes": None, "RemoteConfig": False}
        self.slow_s: dict[str, float] = {}
        self.garbage: dict[str, bytes] = {}
        self.first_line: Any = None
        """What the bus says first instead of the state."""
        self.asked: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self._asked = asyncio.Condition()
        self._buses: set[asyncio.Queue[bytes | None]] = set()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/localapi/v0/{name}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.socket)).start()

    async def stop(self) -> None:
        """As when it is killed: every connection ends and nothing answers."""
        self.end_bus()
        if self._runner is not None:
            await self._runner.cleanup()
        self.socket.unlink(missing_ok=True)

    async def questions(self, name: str, times: int = 2) -> None:
        """Until it was asked so often again; by then the answer to all but the last has been taken in."""
        goal = self.asked[name] + times
        async with self._asked:
            await self._asked.wait_for(lambda: self.asked[name] >= goal)

    def notify(self, line: Any) -> None:
        """A notification to all who follow the bus."""
        self.notify_raw(json.dumps(line).encode() + b"\n")

    def notify_raw(self, data: bytes) -> None:
        """Bytes of the bus as they are."""
        for queue in self._buses:
            queue.put_nowait(data)

    def set_state(self, state: str) -> None:
        """Another BackendState, with its notification."""
        self.status = self.status | {"BackendState": state}
        self.notify({"State": STATES.index(state)})

    def end_bus(self) -> None:
        """End of file for all who follow the bus."""
        for queue in self._buses:
            queue.put_nowait(None)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        foreign = request.headers.get("Origin") or request.headers.get("Referer")
        if foreign or request.headers.get("Host", "") not in ("", "local-tailscaled.sock"):
            return web.Response(status=403, text="invalid localapi request\n")
        if name not in _NAMES:
            return web.Response(status=404, text="404 page not found\n")
        async with self._asked:
            self.asked[name] += 1
            self._asked.notify_all()
        self.headers.append(dict(request.headers))
        await asyncio.sleep(self.slow_s.get(name, 0))
        if name in self.garbage:
            return web.Response(body=self.garbage[name], content_type="application/json")
        if name == "watch-ipn-bus":
            return await self._bus(request)
        if name == "whois":
            return self._whois(request.query.get("addr", ""))
        value = {"status": self.status, "serve-config": self.serve_config, "prefs": self.prefs}[name]
        body = json.dumps(value, indent="\t").encode()
        headers = {"Etag": hashlib.sha256(body).hexdigest()} if name == "serve-config" else {}
        return web.Response(body=body, content_type="application/json", headers=headers)

    def _whois(self, place: str) -> web.Response:
        address = place.rpartition(":")[0].strip("[]")
        if not address:
            return web.Response(status=400, text="invalid 'addr' parameter\n")
        if self.nodes.get(address) is None:
            return web.Response(status=404, text="no match for IP:port\n")
        body = json.dumps(self.nodes[address], indent="\t").encode()
        return web.Response(body=body, content_type="application/json")

    async def _bus(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._buses.add(queue)
        try:
            state = STATES.index(self.status.get("BackendState", "NoState"))
            first: dict[str, Any] = {"Version": "1.103.0", "ErrMessage": None, "State": state, "Prefs": {}}
            await response.write(json.dumps(self.first_line or first).encode() + b"\n")
            while (line := await queue.get()) is not None:
                await response.write(line)
        finally:
            self._buses.discard(queue)
        return response

    def command(self, order: dict[str, Any]) -> None:
        """What one line of standard input asks for."""
        for name, value in order.items():
            if name == "status":
                self.status = self.status | value
            elif name == "self":
                self.status = self.status | {"Self": self.status["Self"] | value}
            elif name == "node":
                self.nodes[value["address"]] = value["answer"]
            elif name in ("serve_config", "prefs"):
                setattr(self, name, value)
            elif name == "state":
                self.set_state(value)
            elif name == "notify":
                self.notify(value)
            elif name == "end_bus":
                self.end_bus()
            elif name == "answer_slowly":
                self.slow_s = value
            elif name == "answer_garbage":
                self.garbage = {key: text.encode() for key, text in value.items()}
            else:
                raise SystemExit(f"no such command: {name}")


async def _run(socket: Path) -> None:
    stand_in = StandIn(socket)
    await stand_in.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            stand_in.command(json.loads(line))
            sys.stdout.write("ok\n")
            sys.stdout.flush()
    finally:
        await stand_in.stop()


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1])))

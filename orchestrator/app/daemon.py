"""Builds the real parts, wires them, starts and stops them in order: the only place that does."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from orchestrator.app.boundaries import boundary_of
from orchestrator.app.doorbook import DoorBook
from orchestrator.app.host_facts import HostFacts
from orchestrator.app.house import SiteHouse
from orchestrator.app.lane_facts import LaneFacts, topics_of
from orchestrator.app.listener import Listener
from orchestrator.app.log_facts import LogFacts, opened
from orchestrator.app.log_publisher import LogPublisher
from orchestrator.app.log_views import LogViews
from orchestrator.app.membership import Membership
from orchestrator.app.names import Revealing
from orchestrator.app.publisher import Publisher
from orchestrator.app.reload import CHANGED, Configuration, config_loaded
from orchestrator.app.repeats import Repeats
from orchestrator.app.requests import Requests
from orchestrator.app.windows import WindowDesk
from orchestrator.app.workshop import FfmpegWorkshop
from orchestrator.core.camera_state import CameraState
from orchestrator.core.chain import uuid7
from orchestrator.core.commands import SERVICE, Why
from orchestrator.core.events import Event, observation
from orchestrator.core.moment import SECOND_US
from orchestrator.core.statechart import Chart
from orchestrator.edges import systemd
from orchestrator.edges.clock import now
from orchestrator.edges.files import ConfigWatch
from orchestrator.edges.http.server import HttpEdge
from orchestrator.edges.schedule import Schedule
from orchestrator.edges.vpn.boundary import Boundary
from orchestrator.edges.vpn.sockets import listen
from orchestrator.edges.worker.find import find_ffmpeg
from orchestrator.edges.worker.segments import wipe_all
from orchestrator.resources import folder
from orchestrator.runtime.blackbox import BlackBox
from orchestrator.runtime.board import Board, renewed
from orchestrator.runtime.bookmark import Bookmark
from orchestrator.runtime.event_store import EventStore, LogError
from orchestrator.runtime.ledger import Ledger, SiteState, fold
from orchestrator.runtime.restart import recover
from orchestrator.runtime.site import Site
from orchestrator.runtime.site_fold import folding
from orchestrator.settings import Changes, Settings

log = logging.getLogger(__name__)

STOP_PART_S = 0.4
LEAVE_S = 2.9


class Stopped(Exception):
    """Somebody asked the daemon to stop, and it has."""


class Daemon:
    """One gateway, from an opened log to a closed one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._chart = Chart((folder("statecharts") / "camera.toml").read_bytes())
        self._board = Board(settings.policy)
        self._store: EventStore[SiteState] = EventStore(
            settings.log.url,
            site=settings.policy.site,
            fold=fold,
            empty=SiteState(),
            folding=folding(),
        )
        self._stop = asyncio.Event()
        self._boundary: Boundary = boundary_of(lambda: self._settings, self._alarm)
        self._counters: Counter[str] = Counter()
        self._site: Site
        self._listener: Listener
        self._is_built = False

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. LogError, OSError or BlackBoxUnusable when it cannot begin."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with AsyncExitStack() as stack:
            await opened(self._store)
            stack.push_async_callback(self._store.close)
            box = BlackBox.open(self._settings.log.blackbox)
            stack.callback(box.close)
            await self._boundary.start()
            stack.push_async_callback(self._leave_boundary)
            sockets = self._bound_at_start()
            try:
                async with asyncio.TaskGroup() as tasks:
                    await self._serve(tasks, box, sockets)
                    raise Stopped
            except* Stopped:
                log.info("stopped")
            except* (LogError, OSError) as group:
                raise _first(group) from None

    async def _leave_boundary(self) -> None:
        await self._boundary.stop()

    def _bound_at_start(self) -> list[socket.socket]:
        """The declared listeners, bound before anything else begins: a port that is taken ends the start,
        an interface that is not there yet is waited for (CONTRACT 3)."""
        vpn, boundary = self._settings.vpn, self._boundary
        if not boundary.look(now().boottime_us).good:
            return []
        return [listen(address, vpn.port, boundary.interface) for address in boundary.addresses()]

    async def _serve(self, tasks: asyncio.TaskGroup, box: BlackBox, sockets: list[socket.socket]) -> None:
        self._log_facts = LogFacts(self._board, self._store, now=now)
        ledger = self._make_ledger(box)
        segments = self._settings.worker.segments
        _make_folder(segments)
        await asyncio.to_thread(wipe_all, segments)
        workshop = FfmpegWorkshop(lambda: self._settings, find_ffmpeg, self._board.window_for)
        boxed = box.entries()
        known = [entry.last_durable for entry in boxed.lines if entry.last_durable]
        contradicted = bool(known) and not await self._store.holds(known)
        states = await recover(ledger, self._chart, [e.sealed for e in boxed.lines], now, workshop.wipe)
        self._membership = Membership(self._board, self._store, lambda: self._boundary)
        await self._membership.take_over(self._settings)
        site = self._site = Site(
            chart=self._chart,
            board=self._board,
            ledger=ledger,
            workshop=workshop,
            tasks=tasks,
            now=now,
            random=random.random,
            changed=self._changed,
        )
        self._lane = LaneFacts(self._board, site, self._counters, now=now, random=random.random)
        self._board.bus_alive_at_us = self._lane.alive_at_us
        self._publisher = Publisher(site, self._lane, now=now)
        self._log_facts.site = site
        self._configuration = Configuration(
            self._settings.path, self._settings, self._board, site, now, self._apply
        )
        self._host_facts = HostFacts(
            self._board,
            now=now,
            settings=lambda: self._settings,
            boundary=lambda: self._boundary,
            declared=lambda: self._listener.declared,
        )
        house = await self._make_house(site)
        self._http = HttpEdge(house, lambda detail: self._listener.exposed(detail))
        self._listener = self._make_listener(site)
        self._listener.declare(sockets)
        self._configuration.start()
        await self._log_facts.probe()
        self._host_facts.look()
        self._host_facts.site = self._membership.site = site
        self._host_facts.after = self._listener.look
        self._membership.in_doubt = self._host_facts.look_at_boundary
        self._is_built = True
        await site.start(states)
        if boxed.damaged or contradicted:
            site.close(_tampered(boxed.damaged, contradicted))
        await self._listen(sockets)
        site.note(_started(), config_loaded(self._settings))
        self._start_sources(tasks, site)
        systemd.notify("READY=1")
        await self._stop.wait()
        await self._stop_all(site)

    def _make_ledger(self, box: BlackBox) -> Ledger:
        return Ledger(
            self._store,
            box,
            self._chart,
            lambda: self._board.policy.digest,
            os.urandom,
            lambda: self._board.policy.log_patience_us / SECOND_US,
            self._log_facts.trouble,
        )

    async def _make_house(self, site: Site) -> SiteHouse:
        repeats = Repeats(self._store, now)
        await repeats.load()
        logs = LogViews(self._store, Revealing(site.write))
        doorbook = DoorBook(site, now)
        doorbook.counters = self._counters
        return SiteHouse(
            site,
            logs,
            Requests(site, logs, repeats, look_around=self._host_facts.look_around, new_id=_new_id, now=now),
            doorbook,
            WindowDesk(site, self._store, new_id=_new_id, now=now),
            membership=self._membership,
            hosts=self._hosts,
            new_id=_new_id,
        )

    def _make_listener(self, site: Site) -> Listener:
        return Listener(
            self._board,
            self._http,
            boundary=lambda: self._boundary,
            port=lambda: self._settings.vpn.port,
            now=now,
            judge=site.look,
            served=self._host_facts.be_due,
        )

    def _changed(self, state: CameraState) -> None:
        self._publisher.changed(state)
        self._host_facts.be_due()

    async def _listen(self, sockets: list[socket.socket]) -> None:
        """Serve on the declared listeners, and no other (CONTRACT 5)."""
        await self._listener.serve(sockets)
        await self._http.start_unix(self._settings.local_socket)
        where = list(self._http.addresses)
        if not sockets:
            where.insert(0, f"{self._settings.vpn.interface} as soon as it stands")
        sys.stdout.write("volet listens on " + " and ".join(where) + "\n")
        sys.stdout.flush()

    def _alarm(self, fault: str, detail: str) -> None:
        """The overlay does not stand: every gate first, then the listener; nothing is asked (S4, F1)."""
        before = self._board.interface
        self._board.interface = renewed(before, now().boottime_us, False, fault=fault, detail=detail)
        if self._is_built:
            self._site.look()
            self._listener.look()

    async def _follow_boundary(self) -> None:
        """Each notification of the overlay: look at once, shut what it shuts, then the listener (F1, F25).

        People first: it takes no question to the kernel, and an overlay that does not stand was an alarm."""
        while True:
            boundary = self._boundary
            async for _ in boundary.changes():
                self._membership.look()
                self._host_facts.look_at_boundary()
                self._site.look()
                self._listener.look()
            if boundary is self._boundary:
                self._host_facts.look_at_boundary()
                self._site.look()
                await asyncio.sleep(1)

    def _hosts(self) -> frozenset[str]:
        """The `Host` values that name the listener: its addresses, and the names of the configuration."""
        port = self._settings.vpn.port
        addresses = [declared.address for declared in self._listener.declared]
        named = [f"[{address}]" if ":" in address else address for address in addresses]
        named += self._settings.vpn.names
        return frozenset(f"{name}:{port}" for name in named) | frozenset(named if port == 80 else ())

    def _start_sources(self, tasks: asyncio.TaskGroup, site: Site) -> None:
        bookmark = Bookmark(self._settings.log.bookmark)
        log_publisher = LogPublisher(self._store, self._lane, bookmark, random=random.random)
        self._lane.start(self._settings)
        self._schedule = Schedule(
            partial(site.look, by="schedule"), self._board.next_window_boundary, lambda: now().wall_us
        )
        self._schedule.start()
        site.windows.changed = self._schedule.refresh
        watch = ConfigWatch(self._settings.path, self._configuration.on_change)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._configuration.on_change)
        for name, work in (
            ("log", self._log_facts.keep_probing()),
            ("host", self._host_facts.keep_looking()),
            ("orphans", self._host_facts.keep_adopting()),
            ("members", self._membership.keep_looking()),
            ("boundary", self._follow_boundary()),
            ("listener", self._listener.keep()),
            ("lane", self._lane.keep_asking()),
            ("lane-watch", self._lane.keep_watch()),
            ("log-publisher", log_publisher.run()),
            ("config-watch", watch.run()),
            ("config", self._configuration.run()),
            ("watchdog", self._feed_watchdog()),
        ):
            tasks.create_task(work, name=name)

    async def _feed_watchdog(self) -> None:
        period_s = systemd.watchdog_period_s()
        while period_s is not None:
            systemd.notify("WATCHDOG=1")
            await asyncio.sleep(period_s / 2)

    async def _apply(self, new: Settings, difference: Changes) -> None:
        """Take over a valid new configuration; what it closes is closed already (CONTRACT 3 Reload)."""
        old, site = self._settings, self._site
        await self._membership.take_over(new)
        site.look()
        self._membership.cut_strangers()
        for camera in difference.removed:
            await site.remove(camera)
        lanes_changed = old.policy.lanes != new.policy.lanes or topics_of(old) != topics_of(new)
        self._board.policy, self._settings = new.policy, new
        for camera in difference.added:
            site.add(camera)
        if "mqtt" in difference.rebuild or lanes_changed:
            await self._lane.stop()
            self._lane.start(new)
        if "vpn" in difference.rebuild:
            self._listener.shut("the configuration of the VPN changed")
            old_boundary = self._boundary
            self._boundary = boundary_of(lambda: self._settings, self._alarm)
            await old_boundary.stop()
            await self._boundary.start()
        if "local" in difference.rebuild:
            self._http.close_local()
            await self._http.start_unix(new.local_socket)
        self._host_facts.look()
        self._schedule.refresh()
        self._listener.look()
        site.close(CHANGED, difference.close & frozenset(site.cameras))

    async def _stop_all(self, site: Site) -> None:
        """Within 3 s whatever the log, the broker or a client does (CONTRACT 4 SIGTERM)."""
        systemd.notify("STOPPING=1")
        # Not before the gates are shut: on a busy machine a new thread waits for its turn, and we for it.
        asyncio.get_running_loop().call_soon(_leave_within, LEAVE_S)
        await site.stop()
        site.note(observation("service_stopped", SERVICE, data={"signal": "SIGTERM"}))
        await _bounded(site.flush(), "the log did not take the last events; the black box has the closings")
        await _bounded(site.windows.kept(), "a window that was cancelled or shortened may stand again")
        self._schedule.stop()
        self._lane.publish("status", b"offline", qos=1, retain=True)
        async with asyncio.TaskGroup() as ending:
            ending.create_task(_bounded(self._lane.stop(), "the broker was left without a word"))
            ending.create_task(_bounded(self._http.stop(), "answers under way were cut"))


async def _bounded(work: Awaitable[None], otherwise: str) -> None:
    try:
        async with asyncio.timeout(STOP_PART_S):
            await work
    except TimeoutError:
        log.warning("stopping: %s", otherwise)


def _leave_within(seconds: float) -> None:
    """The end does not wait for a disk that hangs: everything is shut and reaped by then."""
    leaving = threading.Timer(seconds, os._exit, (0,))
    leaving.daemon = True
    leaving.start()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception that ended the group, out of its wrapping."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _tampered(damaged: int, contradicted: bool) -> Why:
    """The black box has a line that nobody can read, or knows an event that the log has forgotten: the log
    is another than it was, and somebody must look (CONTRACT 7, F23)."""
    data = {"fault": "log-tampered", "blackbox_lines_damaged": damaged, "blackbox_contradicts": contradicted}
    return Why("fault", SERVICE, "log-tampered", data)


def _make_folder(segments: Path) -> None:
    if segments.parent.is_dir() and not segments.exists():
        segments.mkdir(mode=0o700)


def _new_id() -> str:
    return uuid7(now().wall_us // 1000, os.urandom(10))


def _started() -> Event:
    return observation("service_started", SERVICE, data={"pid": os.getpid(), "boot": now().boot})

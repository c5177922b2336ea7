"""One camera's two lanes around the real core, as plain steps, without clocks, threads and tasks.

`decide`, `evolve`, `desired`, `reason_to_shut` and `rebased` are the product's own. What is told again
here is the order in which `runtime/shutter.py`, `camera_actor.py`, `worker_keeper.py`, `ledger.py` and
`restart.py` call them; the stories under tests/scenarios, found here, are played on those.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from orchestrator.core import camera as core
from orchestrator.core.commands import Acknowledge, Closing, Command, Gone, Look, Reported, Request, Why
from orchestrator.core.desired import Desired
from orchestrator.core.events import CLOSING, Event, Record, Sealed
from orchestrator.core.faults import LOCKING
from orchestrator.core.refusal import Refusal
from orchestrator.core.worker import FailureClass, FirstFrame, WorkerExited, WorkerStarted
from tests.core.scene import CHART
from tests.model import trial
from tests.model.lane_parts import (
    ASKS,
    HAPPENED,
    LANDED_LATE,
    NO_LONGER,
    RESTARTED,
    UNWRITABLE,
    Child,
    Write,
    opens,
)
from tests.model.lane_state import LaneState
from tests.model.weather import POLICY, Weather


class TwoLanes(LaneState):
    """Steps change the camera and its world in place."""

    def copied(self) -> TwoLanes:
        """Another one just like it."""
        other = object.__new__(TwoLanes)
        other.__dict__.update(self.__dict__)
        return other

    # The closing lane: whoever sees the reason.

    def shut_now(self, why: Why) -> bool:
        """`Shutter.shut_now`."""
        self.generation += 1
        self.open_for = None
        was_exposed, self.exposed = self.exposed, False
        if not was_exposed:
            if why.fault not in LOCKING or why.fault in self.announced:
                return False
            self.announced |= {why.fault}
        self._tell_to_die()
        self.closings += (Closing(why, self.generation, self.now, self.now.boottime_us),)
        return True

    def _tell_to_die(self) -> None:
        if self.child is not None and not self.child.told:
            self.child = replace(self.child, told=True)

    def take(self) -> Closing:
        """`Shutter.take`."""
        closing, self.closings = self.closings[0], self.closings[1:]
        self.announced -= {closing.why.fault or ""}
        return closing

    def reason(self, command: Command) -> Why | None:
        """`reason_to_shut` on the present facts."""
        return trial.reason_to_shut(POLICY, self.state, command, self.facts)

    def look(self) -> None:
        """`CameraActor.look`: a notification, the sentinel, a timer."""
        why = self.reason(Look())
        if why is not None:
            self.shut_now(why)
        elif not self.state.is_shut:
            self.look_due = True

    def learn(self, weather: Weather) -> None:
        """A fact arrives: judged before anything else is done."""
        self.weather = weather
        self.look()

    # The ordering lane: one turn, up to the log.

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to do."""
        return not (
            self.write is not None
            or self.closings
            or self.look_due
            or self.queue
            or self.draining
            or (self.is_pending and self.disk == "works")
        )

    def moves(self) -> None:
        """The next thing on the way to rest: the log answers what is under way, else the lane takes a
        turn."""
        if self.write is not None:
            self._answer()
        else:
            self._turn()

    def _turn(self) -> None:
        if self.closings and not self.draining:
            self._write_closing(self.take())
        elif self.is_pending:
            self._drain()
        elif self.look_due:
            self.look_due = False
            self._step(Look(), self.generation)
        elif self.queue:
            (command, generation), self.queue = self.queue[0], self.queue[1:]
            self._step(command, generation)

    def ask(self, command: Command) -> None:
        """Into the queue, as of this generation."""
        self.queue += ((command, self.generation),)

    def _step(self, command: Command, generation: int) -> None:
        self._hear(command)
        why = self.reason(command)
        if why is not None and self.shut_now(why):
            self._write_closing(self.take())
        if isinstance(command, Request) and generation != self.generation:
            self.refused = "closed-meanwhile"
            return
        decision = core.decide(CHART, POLICY, self.state, command, self.facts)
        if isinstance(decision, Refusal):
            self.refused = decision.code
        elif decision:
            self._write(command, decision)
        else:
            self.reconcile()

    def _hear(self, command: Command) -> None:
        if isinstance(command, Gone) and command.proven:
            self.proving = False

    def _write(self, command: Command, events: Sequence[Event]) -> None:
        sealed = self._seal(events)
        if self.state.is_shut and not isinstance(command, Request | Acknowledge):
            self._write_shut(sealed)
            self.reconcile()
            return
        if isinstance(command, Request):
            self.exposed, self.asked_generation, self.look_due = True, self.generation, True
        unfenced = isinstance(command, HAPPENED) and not opens(command)
        self.write = Write(command, sealed, None if unfenced else self.asked_generation)

    def _answer(self) -> None:
        write, self.write = self.write, None
        assert write is not None
        if self.disk == "works":
            if write.fence is not None and not trial.holds(self, write.fence):
                self.refused = "closed-meanwhile"
                return
            self._commit(write.sealed)
            if self.state.is_shut:
                self.exposed = False
            self.reconcile()
            return
        if self.disk == "hangs":
            self.unsure, self.late = True, write.sealed
        self.shut_now(UNWRITABLE)
        if write.fence is None and not isinstance(write.command, Acknowledge):
            self._write_shut(tuple(one for one in write.sealed if one.event.type == "observation"))
        self.refused = "log-unwritable"

    def _commit(self, sealed: Sequence[Sealed]) -> None:
        is_the_log, fresh = self.state is self.log, self.land(sealed)
        if is_the_log:
            # The same fold of the same rows.
            self.state = self.log
            return
        for record in fresh:
            self.state = trial.evolve(self.state, record)

    def land(self, sealed: Sequence[Sealed]) -> list[Record]:
        """Into the log, each id once."""
        there = {record.sealed.id for record in self.written}
        fresh = []
        for one in sealed:
            if one.id not in there:
                record = Record(len(self.written) + 1, one, "", "", b"")
                self.written += (record,)
                self.log = trial.evolve(self.log, record)
                self.promised = tuple(each for each in self.promised if each != one.id)
                fresh.append(record)
        return fresh

    def _write_shut(self, sealed: Sequence[Sealed]) -> None:
        """`CameraActor._write_shut`: what does not go into the log at once is kept for it."""
        self.promised += tuple(one.id for one in sealed)
        if self.disk == "works" and not self.is_pending:
            self._commit(sealed)
            return
        if self.disk == "hangs" and not self.is_pending:
            self.late = tuple(sealed)
        self.waiting += tuple(sealed)
        if self.box_takes:
            self.box += tuple(sealed)
        for one in sealed:
            self.state = trial.evolve(self.state, Record(self.state.version, one, "", "", b""))

    def _write_closing(self, closing: Closing) -> None:
        events = core.moves_of_closing(CHART, self.state, closing)
        if events:
            self._write_shut(self._seal(events))
        self.reconcile()

    def _drain(self) -> None:
        """`Ledger.drain`, one append a move; a closing that comes meanwhile waits for the end of it."""
        if self.disk != "works":
            self.draining = False
            self._answer_while_pending()
            return
        # The log's one thread has answered: what hung before is in it, or never will be.
        self.late, self.unsure = (), True
        if self.waiting:
            self.draining = True
            self.land([trial.rebased(CHART, self.log, self.waiting[0])])
            self.waiting = self.waiting[1:]
            return
        self.draining, self.unsure, self.box, self.state = False, False, (), self.log
        if not self.state.is_shut and not self.exposed:
            self.exposed = True
            self.shut_now(LANDED_LATE)
        else:
            self.reconcile()
        if self.look_due:
            self.look_due = False
            self._step(Look(), self.generation)

    def _answer_while_pending(self) -> None:
        self.look_due = False
        waiting, self.queue = self.queue, ()
        for command, _ in waiting:
            self._hear(command)
            if isinstance(command, ASKS):
                self.refused = "log-unwritable"
                continue
            decision = core.decide(CHART, POLICY, self.state, command, self.facts)
            if self.state.is_shut and decision and not isinstance(decision, Refusal):
                self._write_shut(self._seal(decision))
        self.reconcile()

    def _seal(self, events: Sequence[Event]) -> tuple[Sealed, ...]:
        first, self.ids = self.ids, self.ids + len(events)
        return tuple(
            Sealed(event, f"{first + index:06}", self.now, CHART.digest, "sha256:config")
            for index, event in enumerate(events)
        )

    def reconcile(self) -> None:
        """`CameraActor._reconcile`."""
        want: Desired = trial.desired(CHART, POLICY, self.state, self.facts)
        if want.gate_open and self.holds(self.asked_generation):
            self.open_for = self.asked_generation
        elif self.gate_open:
            self.shut_now(NO_LONGER)
        if want.start_now and want.worker_run is not None and self.holds(self.asked_generation):
            why = self.reason(Look())
            if why is not None:
                self.shut_now(why)
            else:
                self._start(want.worker_run)
        elif want.worker_run is None and not self.state.is_open:
            self._tell_to_die()
        if self.state.place == CLOSING:
            self.proving = True

    def _start(self, run: int) -> None:
        """`WorkerKeeper.start`."""
        wanted = (self.state.session.id if self.state.session else "", run)
        if self.child is not None or self.proving or self.newest == wanted:
            return
        self.newest = wanted
        if not self.spawns:
            self.ask(Reported(WorkerExited(run, FailureClass.UNKNOWN, None, None, "", 0, False)))
            return
        self.child = Child(wanted[0], run)
        self.ask(Reported(WorkerStarted(run, 4711, {})))

    # The worker and the proof that it is gone.

    def frame(self) -> None:
        """The child's first frame of this run."""
        assert self.child is not None
        self.child = replace(self.child, has_frames=True)
        self.ask(Reported(FirstFrame(self.child.run)))

    def exits(self, failure: FailureClass) -> None:
        """The child ends by itself, or because it was told to."""
        assert self.child is not None
        child, self.child = self.child, None
        self.ask(
            Reported(WorkerExited(child.run, None if child.told else failure, 1, None, "", 12, child.told))
        )

    def prove(self, proven: bool) -> None:
        """`WorkerKeeper._prove`: reaped and wiped, or not within its 2 s. The lane hears of the exit while
        the segments are wiped; were it to hear of both at once, it would only have nothing proven once
        more."""
        if proven and self.child is not None:
            self.exits(FailureClass.KILLED)
        self.ask(Gone(0, 0, 0, 0, None, proven, proven))

    # The end of the process, and the next one.

    @property
    def under_way(self) -> tuple[Sealed, ...]:
        """What may be in the log, or not, when the process is killed now."""
        return self.late or (self.write.sealed if self.write else ())

    def starts_again(self, lands: bool, reboots: bool = False) -> None:
        """SIGKILL at this instant, with what was under way `lands`-ing or not; then, once the disk works, a
        start: `restart.recover`, from the log and the black box."""
        under_way = self.under_way if lands else ()
        fresh = TwoLanes(self.weather, self.camera)
        fresh.log, fresh.written = trial.found_at_start(self.log), self.written
        fresh.ids = 1 + max((int(one.id) for one in (*self._sealed(), *self.box, *under_way)), default=-1)
        fresh.sessions = self.sessions
        fresh.box_takes, fresh.spawns = self.box_takes, self.spawns
        fresh.promised = tuple(one.id for one in self.box if one.id in self.promised)
        fresh.land(under_way)
        if reboots:
            fresh.weather = self.weather.but(boot=self.weather.boot + "+")
        for one in self.box:
            fresh.land([trial.rebased(CHART, fresh.log, one)])
        fresh.state = fresh.log
        if not fresh.state.is_shut:
            fresh._commit_moves(Closing(RESTARTED, 0, fresh.now, fresh.now.boottime_us))
        if fresh.state.place == CLOSING:
            fresh._commit_moves(Gone(0, 0, 0, 0, None, True, True))
        fresh.reconcile()
        self.__dict__.clear()
        self.__dict__.update(fresh.__dict__)

    def _sealed(self) -> Iterable[Sealed]:
        return (record.sealed for record in self.written[-1:])

    def _commit_moves(self, command: Closing | Gone) -> None:
        decision = core.decide(CHART, POLICY, self.state, command, self.facts)
        assert not isinstance(decision, Refusal)
        self._commit(self._seal(decision))

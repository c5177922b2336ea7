"""That closing waits for nothing and is never lost (S12–S14, S16, S20, S21, L2, L4)."""

from __future__ import annotations

from tests.controls.control import Control

CONTROLS = (
    Control(
        holds="S13",
        protection="closing shuts in the caller's own thread",
        switch="closing-waits-for-the-loop",
        file="orchestrator/runtime/camera_actor.py",
        old=("        return self.shutter.shut_now(why, self._now())\n\n    def wake"),
        new=(
            "        self._loop.call_soon_threadsafe(self.shutter.shut_now, why, self._now())\n"
            "        return None\n"
            "\n"
            "    def wake"
        ),
        test=(
            "tests/runtime/test_camera_actor_closing.py::test_closing_from_another_thread_shuts_"
            "while_the_loop_stands_still"
        ),
        says="assert seen == [(False, True)]",
    ),
    Control(
        holds="S13",
        protection="a closing waits half a second for the log, and then for the black box",
        switch="closing-waits-for-the-log",
        file="orchestrator/runtime/ledger.py",
        old=(
            "                return await self.store.append(sealed, patience_s=CLOSING_PATIENCE_S)\n"
            "            except LogError as problem:\n"
            "                self._complain(problem)\n"
            "        for"
        ),
        new=(
            "                return await self.store.append(sealed, patience_s=3600.0)\n"
            "            except LogError as problem:\n"
            "                self._complain(problem)\n"
            "        for"
        ),
        test=(
            "tests/runtime/test_ends_by_itself.py::test_a_closing_waits_half_a_second_for_a_log_"
            "that_hangs_and_then_for_the_box_alone"
        ),
        says=(
            "await way.until(lambda: [one.sealed.event.name for one in "
            'way.box.entries().lines][-1:] == ["closed"])'
        ),
    ),
    Control(
        holds="S13 L4",
        protection="a closing that the log could not take is put into the black box",
        switch="no-black-box",
        file="orchestrator/runtime/ledger.py",
        old='                await asyncio.to_thread(self.box.write, sealed, last.hash if last else "")\n',
        new="                await asyncio.sleep(0)\n",
        test=(
            "tests/runtime/test_ledger.py::test_closings_are_kept_in_memory_and_in_the_box_and_"
            "written_in_order"
        ),
        says='assert book.boxed() == ["close", "fault_seen", "fault_seen"]',
    ),
    Control(
        holds="S13",
        protection="the black box's bytes are allocated before they are needed",
        switch="box-not-filled",
        file="orchestrator/runtime/blackbox.py",
        old=('            file.write(_IN_USE.ljust(size_bytes, b"\\0"))\n            file.flush()\n'),
        new=(
            "            file.write(_IN_USE)\n"
            "            file.flush()\n"
            "            os.ftruncate(file.fileno(), size_bytes)\n"
        ),
        test="tests/runtime/test_blackbox.py::test_a_box_is_filled_when_it_is_made_and_for_its_owner_alone",
        says="assert found.st_blocks * 512 >= 1 << 20",
    ),
    Control(
        holds="S13",
        protection="the black box writes through to the disk",
        switch="box-not-synced",
        file="orchestrator/runtime/blackbox.py",
        old="        os.fdatasync(self._descriptor)\n",
        new="",
        test="tests/runtime/test_blackbox_on_disk.py::test_every_line_is_on_the_disk_when_write_returns",
        says='assert asked == ["write", "sync"]',
    ),
    Control(
        holds="S13 S20",
        protection="the black box takes and gives nothing that opens",
        switch="box-takes-anything",
        file="orchestrator/runtime/blackbox.py",
        old=(
            '    if event.type != "observation" and not (event.type == "transition" and event.name '
            "in CLOSINGS):\n"
        ),
        new="    if False:\n",
        test="tests/runtime/test_blackbox.py::test_nothing_that_opens_is_taken",
        says='with pytest.raises(ValueError, match="it would open"):',
    ),
    Control(
        holds="L4",
        protection="what waits is written in the order of happening",
        switch="last-closing-first",
        file="orchestrator/runtime/ledger.py",
        old="        owner, sealed = self._waiting[0]\n",
        new="        owner, sealed = self._waiting[-1]\n",
        test=(
            "tests/runtime/test_ledger.py::test_closings_are_kept_in_memory_and_in_the_box_and_"
            "written_in_order"
        ),
        says='assert await book.names() == ["request", "close", "fault_seen", "fault_seen"]',
    ),
    Control(
        holds="L4",
        protection="the order of happening is that of the whole site, whoever brought a line first",
        switch="order-of-coming",
        file="orchestrator/runtime/ledger.py",
        old="        while place:\n",
        new="        while False:\n",
        test=(
            "tests/runtime/test_ledger.py::test_what_waited_of_several_cameras_is_written_in_order_of_happening"
        ),
        says="assert [record.sealed for record in await book.store._store.read()] == lines",
    ),
    Control(
        holds="S12 L4",
        protection="a camera whose lines another has written must hear of it before it opens",
        switch="written-unheard",
        file="orchestrator/runtime/ledger.py",
        old="        self._unsure.add(owner)\n",
        new="",
        test=(
            "tests/runtime/test_ledger.py::test_a_camera_whose_lines_another_has_written_opens_"
            "nothing_before_it_has_heard"
        ),
        says='assert (book.ledger.is_pending("cam2"), book.ledger.anything_pending) == (True, True)',
    ),
    Control(
        holds="S14",
        protection="a look at one lane judges its cameras alone",
        switch="every-camera-judged",
        file="orchestrator/runtime/site.py",
        old="                if policy is not None and lane in (None, policy.lane):\n",
        new="                if policy is not None:\n",
        test="tests/runtime/test_site.py::test_a_look_at_a_lane_judges_its_cameras_alone",
        says="assert way.gate_is_open",
    ),
    Control(
        holds="S14",
        protection="closing one camera leaves the others",
        switch="all-cameras-closed",
        file="orchestrator/runtime/site.py",
        old="        for camera in list(self.cameras) if cameras is None else cameras:\n",
        new="        for camera in list(self.cameras):\n",
        test=(
            "tests/runtime/test_site.py::test_what_shuts_one_camera_leaves_the_other_alone_and_"
            "what_is_the_sites_shuts_both"
        ),
        says="assert other.gate.is_open",
    ),
    Control(
        holds="S16",
        protection="closing is left by proof alone",
        switch="closed-without-proof",
        file="orchestrator/runtime/worker_keeper.py",
        old="        return wiped and self._worker is None, wiped\n",
        new="        return True, wiped\n",
        test=(
            "tests/runtime/test_camera_actor.py::test_a_closing_whose_segments_cannot_be_wiped_is_not_proven"
        ),
        says='await way.until(lambda: way.state.locks == {"closing-unproven"})',
    ),
    Control(
        holds="S16",
        protection="a lock whose cause lasts cannot be acknowledged",
        switch="lasting-lock-acknowledged",
        file="orchestrator/core/camera.py",
        old="    if lasting:\n",
        new="    if False:\n",
        test="tests/core/test_camera_closing.py::test_locks_are_a_set_and_are_acknowledged_all_or_none",
        says="assert isinstance(decision, Refusal)",
    ),
    Control(
        holds="S16 S7",
        protection="a locking fault locks a camera that is shut as well",
        switch="shut-camera-not-locked",
        file="orchestrator/runtime/shutter.py",
        old="        if not was_exposed and not self._is_new_lock(why):\n",
        new="        if not was_exposed:\n",
        test=(
            "tests/runtime/test_camera_actor.py::test_a_locking_fault_while_shut_is_written_and_"
            "refuses_until_acknowledged"
        ),
        says='await way.at("disabled.locked")',
    ),
    Control(
        holds="L2 S16",
        protection="a closing that is not proven within two seconds says so and locks",
        switch="unproven-closing-silent",
        file="orchestrator/core/camera.py",
        old=('        return only(moved(chart, state, "fault", SERVICE, "locks", data=data))\n    proof'),
        new=("        return ()\n    proof"),
        test=(
            "tests/runtime/test_camera_actor.py::test_a_worker_that_cannot_be_killed_locks_after_"
            "two_seconds_until_it_is_proven_and_acknowledged"
        ),
        says='await way.until(lambda: way.state.locks == {"closing-unproven"})',
    ),
    Control(
        holds="S20",
        protection="a start closes whatever the log says was not disabled",
        switch="start-goes-on-open",
        file="orchestrator/runtime/restart.py",
        old=("    if not state.is_shut:\n        closing"),
        new=("    if False:\n        closing"),
        test="tests/runtime/test_restart.py::test_from_whatever_state_a_start_is_shut_and_says_so",
        says="assert way.state.is_shut",
    ),
    Control(
        holds="S20 L4",
        protection="a start writes what the black box kept before anything else",
        switch="box-not-read",
        file="orchestrator/runtime/restart.py",
        old="        ledger.keep(camera, sealed)\n",
        new="        pass\n",
        test=(
            "tests/runtime/test_restart.py::test_what_the_black_box_kept_is_written_first_and_in_"
            "order_and_then_it_is_empty"
        ),
        says='assert way.events()[-3:] == ["close", "viewer_left", "closed"]',
    ),
    Control(
        holds="S21",
        protection="after an append of unknown outcome a camera waits until the log has said where it stands",
        switch="unknown-outcome-forgotten",
        file="orchestrator/runtime/ledger.py",
        old=(
            "            if isinstance(problem, OutcomeUnknown):\n                self._unsure.add(camera)\n"
        ),
        new="",
        test=(
            "tests/runtime/test_ledger.py::test_after_an_unknown_outcome_the_camera_waits_until_"
            "the_log_has_said_where_it_stands"
        ),
        says='assert book.ledger.is_pending("cam1")',
    ),
    Control(
        holds="S21",
        protection="an opening that landed late is followed by a compensating event",
        switch="late-landing-stays",
        file="orchestrator/runtime/camera_actor.py",
        old=(
            "            self.shutter.expose()\n"
            "            self.shutter.shut_now(why, self._now())\n"
            "        else:\n"
        ),
        new=("            await self._reconcile()\n        else:\n"),
        test=(
            "tests/runtime/test_camera_actor_closing.py::test_an_opening_that_hangs_and_lands_late_"
            "is_shut_at_once_and_compensated"
        ),
        says="await way.until(lambda: way.events()[-1:] == [last] and not way.actor.closing_pending)",
    ),
    Control(
        holds="S21",
        protection="an opening step that the log did not take shuts the camera",
        switch="failed-append-stays-open",
        file="orchestrator/runtime/camera_actor.py",
        old="            if self.shutter.shut_now(why, self._now()) is None:\n",
        new="            if why is None:\n",
        test=(
            "tests/runtime/test_camera_actor_closing.py::test_an_opening_that_hangs_and_lands_late_"
            "is_shut_at_once_and_compensated"
        ),
        says="await way.until(lambda: way.actor.closing_pending and not way.actor.shutter.exposed)",
    ),
    Control(
        holds="S12",
        protection="while a closing is pending the live state is the more closed one",
        switch="live-state-lags",
        file="orchestrator/runtime/camera_actor.py",
        old=("            self._evolve_as_if(sealed)\n            return []\n"),
        new="            return []\n",
        test=(
            "tests/runtime/test_camera_actor_closing.py::test_a_closing_that_the_log_cannot_take_"
            "is_kept_in_order_and_written_when_it_can"
        ),
        says="await way.until(lambda: len(way.box.entries().lines) == 4)",
    ),
)

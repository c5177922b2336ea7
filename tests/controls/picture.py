"""What keeps the picture in: the gate, its purge, and the look at each chunk (S1, S4, S9, S11)."""

from __future__ import annotations

from tests.controls.control import Control

CONTROLS = (
    Control(
        holds="S1 S9",
        protection="gate, watch and identity are looked at for each chunk",
        switch="chunks-unasked",
        file="orchestrator/edges/http/live.py",
        old="        may_go_on=lambda: watch.may_flow(caller),\n",
        new="        may_go_on=lambda: True,\n",
        test="tests/edges/http/test_live.py::test_a_fragment_that_may_not_flow_any_more_is_never_sent",
        says='return await asyncio.wait_for(wire.reader.read(), 10) == b""',
    ),
    Control(
        holds="S9",
        protection="a watch is one person's on one device, at each chunk",
        switch="chunks-for-anybody",
        file="orchestrator/app/live_watch.py",
        old="            and (watch.member, watch.device) == (caller.member.id, caller.device)\n",
        new="",
        test="tests/app/test_live_watch.py::test_a_watch_is_nobody_elses_and_not_their_own_other_devices",
        says='assert not scene.live.may_flow(replace(CALLER, device="d-2"))',
    ),
    Control(
        holds="S1",
        protection="no watch is worth anything while the gate is shut",
        switch="watch-of-a-shut-gate",
        file="orchestrator/app/live_watch.py",
        old=("            self._parts.gate.is_open\n            and self"),
        new="            self",
        test=(
            "tests/app/test_live_watch.py::test_when_any_of_it_is_gone_nothing_more_flows[the gate is shut]"
        ),
        says="assert not scene.live.may_flow(CALLER)",
    ),
    Control(
        holds="S9",
        protection="a watch that has ended is worth nothing",
        switch="watch-outlives-its-end",
        file="orchestrator/app/live_watch.py",
        old="            and self._watches.find(watch.id) is watch\n",
        new="",
        test=(
            "tests/app/test_live_watch.py::test_when_any_of_it_is_gone_nothing_more_flows[the "
            "watch has ended]"
        ),
        says="assert not scene.live.may_flow(CALLER)",
    ),
    Control(
        holds="S9",
        protection="who lost role, camera or device is sent no further chunk",
        switch="watch-outlives-the-right",
        file="orchestrator/app/live_watch.py",
        old="            and may_watch(member, caller.device, watch.camera)\n",
        new="",
        test=(
            "tests/app/test_live_watch.py::test_when_any_of_it_is_gone_nothing_more_flows[the role is gone]"
        ),
        says="assert not scene.live.may_flow(CALLER)",
    ),
    Control(
        holds="S9",
        protection="whom the VPN no longer proves is sent no further chunk",
        switch="watch-outlives-the-proof",
        file="orchestrator/app/live_watch.py",
        old="            and self._still(caller)\n",
        new="",
        test=(
            "tests/app/test_live_watch.py::test_when_any_of_it_is_gone_nothing_more_flows[the VPN "
            "no longer proves the device]"
        ),
        says="assert not scene.live.may_flow(CALLER)",
    ),
    Control(
        holds="S1",
        protection="shutting purges the kernel's send queue",
        switch="queue-not-purged",
        file="orchestrator/runtime/gate.py",
        old="    _LIBC.connect(descriptor, _UNSPECIFIED, len(_UNSPECIFIED))\n",
        new="",
        test=(
            "tests/runtime/test_gate.py::test_a_stalled_viewer_gets_nothing_beyond_what_its_own_kernel_held"
        ),
        says="assert viewer.read_on() == (held, True)",
    ),
    Control(
        holds="S1",
        protection="a connection has a small send buffer",
        switch="large-send-buffer",
        file="orchestrator/edges/http/door.py",
        old="        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)\n",
        new="",
        test=(
            "tests/edges/http/test_door.py::test_each_connection_has_a_small_send_buffer_and_a_short_patience"
        ),
        says="assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * door.SEND_BUFFER_BYTES",
    ),
    Control(
        holds="S1",
        protection="writing waits until the kernel has it all, so that nothing lies in our own buffers",
        switch="own-buffers-filled",
        file="orchestrator/edges/http/door.py",
        old="    transport.set_write_buffer_limits(high=0)\n",
        new="    transport.set_write_buffer_limits(high=1 << 20)\n",
        test=(
            "tests/edges/http/test_door.py::test_each_connection_has_a_small_send_buffer_and_a_short_patience"
        ),
        says="assert house.the_watch.attached[0].get_write_buffer_limits() == (0, 0)",
    ),
    Control(
        holds="S1",
        protection="a viewer that stalls for two seconds is dropped",
        switch="stalled-viewer-kept",
        file="orchestrator/edges/http/live.py",
        old="        limit_s=STALL_LIMIT_S,\n",
        new="        limit_s=3600.0,\n",
        test="tests/edges/http/test_live.py::test_a_viewer_who_stalls_is_dropped_and_the_others_go_on",
        says="await asyncio.wait_for(house.lost.get(), 10)",
    ),
    Control(
        holds="S1",
        protection="a connection that comes after the shut is refused and reset",
        switch="late-connection-taken",
        file="orchestrator/runtime/gate.py",
        old=("        if self.is_open:\n            return True\n        entry"),
        new=("        return True\n        entry"),
        test="tests/runtime/test_gate.py::test_a_connection_that_comes_after_the_shut_is_refused_and_reset",
        says='assert not gate.attach(1, viewer.near.fileno(), "watch")',
    ),
    Control(
        holds="S1",
        protection="what an ended connection had not sent stays under the gate",
        switch="ended-connection-forgotten",
        file="orchestrator/runtime/gate.py",
        old=(
            "        if unsent_bytes(entry.descriptor) == 0:\n"
            "            os.close(entry.descriptor)\n"
            "            return\n"
            "        _LIBC"
        ),
        new=("        os.close(entry.descriptor)\n        return\n        _LIBC"),
        test="tests/runtime/test_gate.py::test_what_an_ended_connection_had_not_sent_stays_under_the_gate",
        says="assert viewer.read_on() == (held, True)",
    ),
    Control(
        holds="S1 S11",
        protection="a worker that was told to die hands over no more picture",
        switch="picture-after-death",
        file="orchestrator/edges/worker/process.py",
        old=("        if self._broken or self._asked:\n            return\n        try:\n            found"),
        new=("        if self._broken:\n            return\n        try:\n            found"),
        test=(
            "tests/edges/worker/test_holding.py::test_a_worker_told_to_die_ends_and_hands_over_no_"
            "more_picture_s1"
        ),
        says="assert (len(run.fragments), len(run.segments)) == seen",
        also=(
            (
                "        if self._asked:\n            return\n        if isinstance(item, Header):\n",
                "        if isinstance(item, Header):\n",
            ),
        ),
    ),
    Control(
        holds="S4 S13",
        protection="a fact that breaks a rule shuts in the thread that brings it",
        switch="fact-waits-for-the-loop",
        file="orchestrator/runtime/camera_actor.py",
        old=(
            "        if why is not None:\n"
            "            self.shutter.shut_now(why, facts.now)\n"
            "        elif not state.is_shut:\n"
            "            self.wake()\n"
        ),
        new=("        if why is not None or not state.is_shut:\n            self.wake()\n"),
        test=(
            "tests/runtime/test_camera_actor_closing.py::test_a_hold_rule_that_fails_shuts_in_the_"
            "thread_that_sees_it"
        ),
        says="assert seen == [False]",
    ),
    Control(
        holds="S4",
        protection="a message that breaks a rule is judged before the next one",
        switch="pulse-overlooked",
        file="orchestrator/app/lane_facts.py",
        old=("                if _breaks(before, after, now):\n                    self._judge(name)\n"),
        new="",
        test=(
            "tests/app/test_lane_facts.py::test_a_pulse_that_is_gone_with_the_next_message_is_"
            "judged_while_it_lasts"
        ),
        says="assert site.seen == [(True, True), (True, False), (True, True)]",
    ),
    Control(
        holds="S4",
        protection="a camera that cannot be judged is shut",
        switch="unjudged-stays-open",
        file="orchestrator/runtime/site.py",
        old=(
            '                log.exception("%s could not be judged, so it is shut", camera)\n'
            '                parts.actor.close(Why("close", SERVICE))\n'
        ),
        new='                log.exception("%s could not be judged", camera)\n',
        test="tests/runtime/test_site.py::test_a_camera_that_cannot_be_judged_is_shut",
        says="assert not way.gate_is_open",
    ),
)

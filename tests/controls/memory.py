"""Where picture may lie, and that nothing of it stays (S11)."""

from __future__ import annotations

from tests.controls.control import Control

CONTROLS = (
    Control(
        holds="S11",
        protection="segments lie on tmpfs or ramfs, or nothing opens",
        switch="segments-on-a-disk",
        file="orchestrator/app/host_facts.py",
        old=("            in_memory and swap_ok,\n            fault"),
        new=("            swap_ok,\n            fault"),
        test="tests/app/test_host_facts.py::test_a_segment_folder_on_a_disk_opens_nothing",
        says='assert (found.good, found.fault) == (False, "memory-not-private")',
    ),
    Control(
        holds="S11",
        protection="memory that could be swapped to a disk opens nothing",
        switch="swap-on-a-disk",
        file="orchestrator/app/host_facts.py",
        old=("            in_memory and swap_ok,\n            fault"),
        new=("            in_memory,\n            fault"),
        test="tests/app/test_host_facts.py::test_memory_that_could_be_swapped_to_a_disk_opens_nothing",
        says='assert (found.good, found.fault) == (False, "memory-not-private")',
    ),
    Control(
        holds="S11",
        protection="a segment folder that is a link is none",
        switch="linked-folder",
        file="orchestrator/edges/worker/segments.py",
        old=("os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)\n        return self._fd"),
        new=("os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)\n        return self._fd"),
        test="tests/edges/worker/test_segments.py::test_a_root_that_is_a_symlink_is_refused_f15",
        says='with pytest.raises(OSError, match=r"Not a directory|Too many levels"):',
    ),
    Control(
        holds="S11",
        protection="a worker leaves no core file",
        switch="core-of-the-worker",
        file="orchestrator/edges/worker/confinement.py",
        old="        _no_core_file()\n",
        new="",
        test=(
            "tests/edges/worker/test_holding.py::test_a_worker_reaches_nothing_but_its_folder_and_says_so_s26"
        ),
        says='assert max(map(int, limits["Max core file size"])) <= 1',
    ),
    Control(
        holds="S11",
        protection="the daemon leaves no core file",
        switch="core-of-the-daemon",
        file="orchestrator/app/__init__.py",
        old="    resource.setrlimit(resource.RLIMIT_CORE, (NO_CORE_BYTES, NO_CORE_BYTES))\n",
        new="",
        test=(
            "tests/e2e/test_what_lies_there.py::test_nothing_of_an_earlier_life_stays_and_the_"
            "daemon_may_leave_no_core_file"
        ),
        says='assert found.split()[4:6] == ["1", "1"]',
    ),
    Control(
        holds="S11 S20",
        protection="a start wipes the segments of an earlier life",
        switch="old-segments-left",
        file="orchestrator/app/daemon.py",
        old="        await asyncio.to_thread(wipe_all, segments)\n",
        new="",
        test=(
            "tests/e2e/test_what_lies_there.py::test_nothing_of_an_earlier_life_stays_and_the_"
            "daemon_may_leave_no_core_file"
        ),
        says="assert not left.exists()",
    ),
    Control(
        holds="S11 L2",
        protection="segments are wiped when a session is closed",
        switch="segments-left",
        file="orchestrator/runtime/worker_keeper.py",
        old="                wiped = await self._workshop.wipe(self.camera)\n",
        new="                wiped = True\n",
        test=(
            "tests/runtime/test_camera_actor.py::test_a_closing_whose_segments_cannot_be_wiped_is_not_proven"
        ),
        says='await way.until(lambda: way.state.locks == {"closing-unproven"})',
    ),
    Control(
        holds="S11 L2",
        protection="the picture in memory is wiped when a session is closed",
        switch="memory-left",
        file="orchestrator/runtime/worker_keeper.py",
        old="                self._picture.wipe()\n",
        new="",
        test="tests/runtime/test_ends_by_itself.py::test_once_it_is_closed_no_picture_is_left_in_memory",
        says='assert (picture.codecs, picture.playlist(), picture.segment_content(0)) == ("", None, None)',
    ),
    Control(
        holds="S11",
        protection="there is never any sound (-an)",
        switch="sound",
        file="orchestrator/edges/worker/command.py",
        old="        an=None,\n",
        new="",
        test="tests/edges/worker/test_command.py::test_no_source_has_its_sound_mapped_s11",
        says='assert {"-an", "-sn", "-dn"} <= set(found)',
    ),
    Control(
        holds="S11",
        protection="no browser may keep an answer of ours",
        switch="answers-kept",
        file="orchestrator/edges/http/problems.py",
        old='    "Cache-Control": "no-store",\n',
        new="",
        test="tests/edges/http/test_door.py::test_every_answer_carries_the_headers_that_keep_it_ours",
        says='assert reply.headers["cache-control"] == "no-store"',
    ),
)

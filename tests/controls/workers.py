"""What holds a worker: its ties to the daemon, its rights, its place behind the parking (S10, S26, K2)."""

from __future__ import annotations

from tests.controls.control import Control

CONTROLS = (
    Control(
        holds="S10",
        protection="the kernel kills the worker when the daemon dies",
        switch="no-parent-death-signal",
        file="orchestrator/edges/worker/confinement.py",
        old="        if _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:\n",
        new="        if False:\n",
        test="tests/edges/worker/test_orphaned.py::test_a_silent_worker_dies_with_a_daemon_that_was_killed",
        says="assert ends_within(worker, LIMIT_S)",
    ),
    Control(
        holds="S10",
        protection="a worker is started from the main thread alone, with which it dies",
        switch="any-thread-spawns",
        file="orchestrator/edges/worker/process.py",
        old="        if threading.current_thread() is not threading.main_thread():\n",
        new="        if False:\n",
        test="tests/edges/worker/test_holding.py::test_a_worker_may_not_be_started_from_another_thread_s10",
        says='with pytest.raises(RuntimeError, match="main thread"):',
    ),
    Control(
        holds="S10 L2",
        protection="what ignores SIGTERM is killed after 300 ms",
        switch="no-kill-after-the-grace",
        file="orchestrator/edges/worker/process.py",
        old=(
            '            self._timers["kill"] = self._loop.call_later(GRACE_S, self._signal, '
            "signal.SIGKILL)\n"
        ),
        new="            return\n",
        test="tests/edges/worker/test_stubborn.py::test_it_is_killed_before_its_own_end",
        says="assert (await run.worker.stop()).signal == signal.SIGKILL",
    ),
    Control(
        holds="S10",
        protection="the worker's whole group is killed",
        switch="group-left-alive",
        file="orchestrator/edges/worker/process.py",
        old="                    os.killpg(self.pid, number)\n",
        new="                    os.kill(self.pid, number)\n",
        test=(
            "tests/edges/worker/test_holding.py::test_a_worker_that_ignores_sigterm_is_killed_with_"
            "its_whole_group_f10"
        ),
        says="assert all(ends_within(end, 10.0) for end in ends)",
    ),
    Control(
        holds="S10 S13",
        protection="shutting tells the worker to die at once",
        switch="worker-not-told",
        file="orchestrator/runtime/shutter.py",
        old="            worker.tell_to_die()\n",
        new="            pass\n",
        test=(
            "tests/runtime/test_camera_actor_closing.py::test_closing_from_another_thread_shuts_"
            "while_the_loop_stands_still"
        ),
        says="assert seen == [(False, True)]",
    ),
    Control(
        holds="S10 S16",
        protection="no run is started while another worker is there",
        switch="second-worker-started",
        file="orchestrator/runtime/worker_keeper.py",
        old=(
            "        if self._worker is not None or self._stopping is not None or self._newest == "
            "wanted:\n"
            "            return\n"
        ),
        new="",
        test=(
            "tests/runtime/test_camera_actor.py::test_no_run_is_started_twice_when_its_first_word_"
            "waits_behind_a_slow_append"
        ),
        says="assert [worker.run for worker in way.workshop.workers] == [1, 2]",
    ),
    Control(
        holds="S26 S11",
        protection="the worker may write into its folder alone (Landlock)",
        switch="no-landlock",
        file="orchestrator/edges/worker/confinement.py",
        old="        done.append(self._restrict())\n",
        new="        done.append(True)\n",
        test=(
            "tests/edges/worker/test_holding.py::test_a_worker_reaches_nothing_but_its_folder_and_says_so_s26"
        ),
        says='assert (found["read"], found["device"]) == ("done", "done")',
    ),
    Control(
        holds="S26",
        protection="the worker can gain no privileges",
        switch="new-privileges",
        file="orchestrator/edges/worker/confinement.py",
        old="        if _prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:\n",
        new="        if False:\n",
        test=(
            "tests/edges/worker/test_holding.py::test_a_worker_reaches_nothing_but_its_folder_and_says_so_s26"
        ),
        says=(
            'assert (found["no_new_privs"], found["nice"], found["session"], found["umask"]) == '
            '("1", 15, True, 0o077)'
        ),
    ),
    Control(
        holds="S26 S19",
        protection="the worker's environment is empty",
        switch="environment-inherited",
        file="orchestrator/edges/worker/spawn.py",
        old="                env={},\n",
        new="",
        test=(
            "tests/edges/worker/test_holding.py::test_a_worker_reaches_nothing_but_its_folder_and_says_so_s26"
        ),
        says='assert set(found["environment"]) <= {"LC_CTYPE"}',
    ),
    Control(
        holds="S26",
        protection="the worker inherits no descriptor of ours",
        switch="descriptors-inherited",
        file="orchestrator/edges/worker/spawn.py",
        old="                pass_fds=(their_progress,),\n",
        new="                close_fds=False,\n",
        test=(
            "tests/edges/worker/test_holding.py::test_a_worker_reaches_nothing_but_its_folder_and_says_so_s26"
        ),
        says="assert len(extra) <= 1",
    ),
    Control(
        holds="S26",
        protection="a source is one of an allow-list",
        switch="any-source",
        file="orchestrator/edges/worker/source.py",
        old="    if not DEVICE.fullmatch(path):\n",
        new="    if False:\n",
        test=(
            "tests/edges/worker/test_command.py::test_anything_that_is_not_on_the_list_is_refused_"
            "with_a_sentence_s26"
        ),
        says='with pytest.raises(ValueError, match=r"source|lavfi"):',
    ),
    Control(
        holds="S26",
        protection="a source may not redirect (to a file, to another protocol)",
        switch="redirects-followed",
        file="orchestrator/edges/worker/source.py",
        old='        options = {"max_redirects": 0, "rw_timeout": patience_us}\n',
        new='        options = {"rw_timeout": patience_us}\n',
        test="tests/edges/worker/test_command.py::test_an_http_source_follows_no_redirect_f28",
        says="'-max_redirects' is not in list",
    ),
    Control(
        holds="S26",
        protection="ffmpeg may use the source's own protocols alone",
        switch="any-protocol",
        file="orchestrator/edges/worker/source.py",
        old='return Source(url, demuxer, {**options, **wallclock, "protocol_whitelist": protocols})',
        new="return Source(url, demuxer, {**options, **wallclock})",
        test=(
            "tests/edges/worker/test_command.py::test_a_network_source_may_use_its_own_protocols_"
            "and_no_file_f28"
        ),
        says="'-protocol_whitelist' is not in list",
    ),
    Control(
        holds="K2",
        protection="the worker runs at nice 19",
        switch="not-nice",
        file="orchestrator/edges/worker/confinement.py",
        old="            os.setpriority(os.PRIO_PROCESS, 0, self._nice)\n",
        new="            pass\n",
        test=(
            "tests/edges/worker/test_yielding.py::test_a_workers_input_and_output_is_of_the_idle_"
            "class_and_it_is_nice"
        ),
        says="assert os.getpriority(os.PRIO_PROCESS, pid) == 19",
    ),
    Control(
        holds="K2",
        protection="the worker's input and output is of the idle class",
        switch="io-not-idle",
        file="orchestrator/edges/worker/confinement.py",
        old=(
            "        return self._idle_io is not None and _call(self._idle_io, _long(1), _long(0), "
            "_long(IOPRIO_IDLE)) == 0\n"
        ),
        new="        return True\n",
        test=(
            "tests/edges/worker/test_yielding.py::test_a_workers_input_and_output_is_of_the_idle_"
            "class_and_it_is_nice"
        ),
        says='assert told.stdout.strip() == "idle"',
    ),
    Control(
        holds="K2",
        protection="one thread encodes",
        switch="many-encoders",
        file="orchestrator/edges/worker/command.py",
        old=('        "tune": "zerolatency",\n        "threads": 1,\n'),
        new='        "tune": "zerolatency",\n',
        test="tests/edges/worker/test_command.py::test_decoder_filters_and_encoder_have_one_thread_each_k2",
        says='assert [found[n + 1] for n, word in enumerate(found) if word == "-threads"] == ["1", "1"]',
    ),
    Control(
        holds="K3",
        protection="the worker's memory is bounded",
        switch="unbounded-worker",
        file="orchestrator/edges/worker/confinement.py",
        old="        data = _limit(resource.RLIMIT_DATA, MAX_MEMORY_BYTES)\n",
        new="        data = True\n",
        test=(
            "tests/edges/worker/test_holding.py::test_a_worker_reaches_nothing_but_its_folder_and_says_so_s26"
        ),
        says='assert limits["Max data size"] == [str(1 << 30)] * 2',
    ),
)

"""What makes the log the truth: chain, guards, files, replay (S12)."""

from __future__ import annotations

from tests.controls.control import Control

CONTROLS = (
    Control(
        holds="S12",
        protection="each event holds the hash of the one before it, and verify looks",
        switch="links-unchecked",
        file="orchestrator/runtime/event_store/verify.py",
        old='        check_link(count.last_hash, previous_seq, body["seq"], body["prev"])\n',
        new="",
        test=(
            "tests/runtime/test_event_store_tampering.py::test_verify_names_the_first_event_that_"
            "is_not_as_written"
        ),
        says='assert (found.word, found.first_bad_seq) == ("broken", seq)',
    ),
    Control(
        holds="S12",
        protection="an event's bytes must have the hash beside them",
        switch="hashes-unchecked",
        file="orchestrator/runtime/event_store/verify.py",
        old="    if digest(canonical) != found:\n",
        new="    if False:\n",
        test=(
            "tests/runtime/test_event_store_tampering.py::test_verify_names_the_first_event_that_"
            "is_not_as_written"
        ),
        says='assert (found.word, found.first_bad_seq) == ("broken", seq)',
    ),
    Control(
        holds="S12",
        protection="the database refuses UPDATE",
        switch="no-update-trigger",
        file="orchestrator/runtime/event_store/schema.py",
        old=(
            '    """CREATE TRIGGER events_never_updated BEFORE UPDATE ON events\n'
            'BEGIN SELECT RAISE(ABORT, \'the log is append-only: UPDATE refused\'); END""",\n'
        ),
        new="",
        test=(
            "tests/runtime/test_event_store_tampering.py::test_the_database_itself_refuses_to_"
            "change_what_is_written"
        ),
        says="with raw(path) as outside, pytest.raises(sqlite3.IntegrityError):",
    ),
    Control(
        holds="S12",
        protection="the database refuses DELETE",
        switch="no-delete-trigger",
        file="orchestrator/runtime/event_store/schema.py",
        old=(
            '    """CREATE TRIGGER events_never_deleted BEFORE DELETE ON events\n'
            'BEGIN SELECT RAISE(ABORT, \'the log is append-only: DELETE refused\'); END""",\n'
        ),
        new="",
        test=(
            "tests/runtime/test_event_store_tampering.py::test_the_database_itself_refuses_to_"
            "change_what_is_written"
        ),
        says="with raw(path) as outside, pytest.raises(sqlite3.IntegrityError):",
    ),
    Control(
        holds="S12",
        protection="the database refuses an event that does not follow the last",
        switch="no-follow-trigger",
        file="orchestrator/runtime/event_store/schema.py",
        old=("WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM events)\n  OR NEW"),
        new="WHEN NEW",
        test=(
            "tests/runtime/test_event_store_tampering.py::test_the_database_itself_refuses_to_"
            "change_what_is_written"
        ),
        says="with raw(path) as outside, pytest.raises(sqlite3.IntegrityError):",
    ),
    Control(
        holds="S12",
        protection="INSERT OR REPLACE meets the DELETE trigger",
        switch="replace-slips-by",
        file="orchestrator/runtime/event_store/schema.py",
        old='"synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON"',
        new='"synchronous=FULL", "foreign_keys=ON", "recursive_triggers=OFF"',
        test="tests/runtime/test_event_store.py::test_the_pragmas_are_those_that_lose_nothing",
        says="assert await store._writing.run(asked) == {",
    ),
    Control(
        holds="S12",
        protection="a trigger that was dropped or added is seen",
        switch="guards-unchecked",
        file="orchestrator/runtime/event_store/schema.py",
        old=(
            '        if there is None:\n            raise LogTampered(None, f"the {kind} {name} was dropped'
        ),
        new=(
            "        if there is None:\n"
            "            continue\n"
            '            raise LogTampered(None, f"the {kind} {name} was dropped'
        ),
        test="tests/runtime/test_event_store_tampering.py::test_a_dropped_or_added_guard_is_seen",
        says='with pytest.raises(LogTampered, match="someone prepared to change the log"):',
    ),
    Control(
        holds="S12",
        protection="a damaged line of the black box locks",
        switch="damaged-line-ignored",
        file="orchestrator/app/daemon.py",
        old="        if boxed.damaged or contradicted:\n",
        new="        if contradicted:\n",
        test=(
            "tests/e2e/test_what_lies_there.py::test_a_black_box_that_speaks_against_the_log_locks_"
            "every_camera[with_a_damaged_line]"
        ),
        says='assert gateway.transition("request", reason="align the camera").code == "locked"',
    ),
    Control(
        holds="S12",
        protection="a black box that knows an event which the log has forgotten locks",
        switch="contradiction-ignored",
        file="orchestrator/app/daemon.py",
        old="        if boxed.damaged or contradicted:\n",
        new="        if boxed.damaged:\n",
        test=(
            "tests/e2e/test_what_lies_there.py::test_a_black_box_that_speaks_against_the_log_locks_"
            "every_camera[with_another_logs_last_event]"
        ),
        says='assert gateway.transition("request", reason="align the camera").code == "locked"',
    ),
    Control(
        holds="S12",
        protection="a file that was deleted, replaced or cut is seen",
        switch="file-unwatched",
        file="orchestrator/runtime/event_store/files.py",
        old="        for path, known in self._known.items():\n            seen = self._look(path)\n",
        new="        for path, known in ():\n            seen = self._look(path)\n",
        test=(
            "tests/runtime/test_event_store_tampering.py::test_a_deleted_file_is_seen_and_nothing_is_"
            "written_to_where_nobody_looks"
        ),
        says="No such file or directory",
    ),
    Control(
        holds="S12",
        protection="what somebody else writes into the log is seen by the next probe",
        switch="probe-blind",
        file="orchestrator/runtime/event_store/writer.py",
        old=(
            "        if suspect or version != self._data_version or tuple(newest or ()) != self._newest():\n"
        ),
        new="        if False:\n",
        test=(
            "tests/runtime/test_event_store_tampering.py::test_a_probe_sees_an_event_that_somebody_else_wrote"
        ),
        says="with pytest.raises(LogTampered):",
    ),
    Control(
        holds="S12",
        protection="one daemon alone has the log",
        switch="log-not-held",
        file="orchestrator/runtime/event_store/writer.py",
        old="            self._files.hold()\n",
        new="",
        test="tests/runtime/test_event_store.py::test_a_second_daemon_is_refused_the_log",
        says='with pytest.raises(LogUnavailable, match="another volet has it open"):',
    ),
    Control(
        holds="S12",
        protection="a commit reaches the disk before it is acknowledged",
        switch="commit-not-synced",
        file="orchestrator/runtime/event_store/schema.py",
        old='"synchronous=FULL", "foreign_keys',
        new='"synchronous=OFF", "foreign_keys',
        test="tests/runtime/test_event_store.py::test_the_pragmas_are_those_that_lose_nothing",
        says="assert await store._writing.run(asked) == {",
    ),
    Control(
        holds="S12",
        protection="replay says where a move is not the statechart's",
        switch="illegal-move-unseen",
        file="orchestrator/cli/fold.py",
        old="        if not chart.permits(source, event.name, target):\n",
        new="        if False:\n",
        test="tests/cli/test_cli_log.py::test_a_log_that_the_statechart_does_not_permit_diverges",
        says="assert why in told",
    ),
)

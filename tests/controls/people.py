"""Who may do what, and whose name shows where (S16, S18, S19)."""

from __future__ import annotations

from tests.controls.control import Control

CONTROLS = (
    Control(
        holds="S18",
        protection="the local socket is nobody: it closes and does not open",
        switch="socket-opens",
        file="orchestrator/app/access.py",
        old="        if act not in WITHOUT_A_PERSON:\n",
        new="        if False:\n",
        test="tests/app/test_access.py::test_the_local_socket_sees_and_closes_and_does_nothing_else",
        says="with pytest.raises(Refusal) as refused:",
    ),
    Control(
        holds="S18",
        protection="what opens is asked for by a member alone",
        switch="nobody-opens",
        file="orchestrator/app/requests.py",
        old=(
            "        if caller is None:\n"
            '            raise Refusal("vpn-only", f"{wish.trigger} works over the VPN only")\n'
            "        admit_act(caller, OVER_THE_VPN[wish.trigger])\n"
        ),
        new="",
        test="tests/app/test_access.py::test_what_opens_is_asked_for_by_a_member_alone",
        says="await nothing.carry_out(None, None",
    ),
    Control(
        holds="S18",
        protection="only a maintainer may open",
        switch="viewer-opens",
        file="orchestrator/app/access.py",
        old='    "request": frozenset({"maintainer"}),\n',
        new='    "request": PEOPLE,\n',
        test=(
            "tests/app/test_access.py::test_each_role_may_do_what_the_contract_says_and_nothing_"
            "else[viewer-request]"
        ),
        says="with pytest.raises(Refusal) as refused:",
    ),
    Control(
        holds="S18",
        protection="of what comes over MQTT only close is a command",
        switch="any-command-closes",
        file="orchestrator/app/lane_facts.py",
        old='    if not isinstance(body, dict) or body.get("trigger") != "close":\n',
        new="    if not isinstance(body, dict):\n",
        test="tests/app/test_bus_commands.py::test_whatever_is_no_live_close_is_counted_alone",
        says='assert (scene.site.closed, scene.counters["bus-ignored"]) == ([], 1)',
    ),
    Control(
        holds="S18",
        protection="a retained command is ignored",
        switch="retained-command-obeyed",
        file="orchestrator/app/lane_facts.py",
        old="        camera = None if message.retained else _camera_to_close(message.payload)\n",
        new="        camera = _camera_to_close(message.payload)\n",
        test="tests/app/test_bus_commands.py::test_whatever_is_no_live_close_is_counted_alone[retained]",
        says='assert (scene.site.closed, scene.counters["bus-ignored"]) == ([], 1)',
    ),
    Control(
        holds="S16",
        protection="only an approver takes a lock away",
        switch="maintainer-acknowledges",
        file="orchestrator/app/access.py",
        old='    "acknowledge": frozenset({"approver"}),\n',
        new='    "acknowledge": PEOPLE,\n',
        test=(
            "tests/app/test_access.py::test_each_role_may_do_what_the_contract_says_and_nothing_"
            "else[maintainer-acknowledge]"
        ),
        says="with pytest.raises(Refusal) as refused:",
    ),
    Control(
        holds="S19",
        protection="who asked, and why, stands in the details and not in the chain",
        switch="names-in-the-chain",
        file="orchestrator/core/camera.py",
        old=('        "resume": command.resume,\n    }\n    asked'),
        new=('        "resume": command.resume,\n        **command.person,\n    }\n    asked'),
        test=(
            "tests/core/test_camera.py::test_a_request_says_what_for_and_keeps_the_person_out_of_the_chain"
        ),
        says="assert event.data == {",
    ),
    Control(
        holds="S19",
        protection="details are salted, so that nobody can guess them from the chain",
        switch="no-salt",
        file="orchestrator/runtime/event_store/writer.py",
        old="                salt = self._random(SALT_BYTES)\n",
        new="                salt = bytes(SALT_BYTES)\n",
        test=(
            "tests/runtime/test_event_store.py::test_two_events_with_the_same_details_commit_to_"
            "different_digests"
        ),
        says="assert len(digests) == 2",
    ),
    Control(
        holds="S19",
        protection="a camera's secret stands in no argument",
        switch="secret-in-the-arguments",
        file="orchestrator/edges/worker/source.py",
        old=("    if spec.source_secret is None:\n        return Source(url"),
        new=(
            "    if spec.source_secret is not None:\n"
            '        url = url.replace("://", f"://{spec.source_secret}@")\n'
            "    if True:\n"
            "        return Source(url"
        ),
        test=(
            "tests/edges/worker/test_command.py::test_a_secret_goes_to_standard_input_and_into_no_"
            "argument_s19"
        ),
        says='assert not [word for word in found if "admin" in word or "p@ss" in word or "p%40ss" in word]',
    ),
    Control(
        holds="S19",
        protection="what a worker says is cleaned of addresses and credentials",
        switch="worker-quoted-whole",
        file="orchestrator/edges/worker/exits.py",
        old='            text = text.replace(word, "(…)")\n',
        new="            pass\n",
        test=(
            "tests/edges/worker/test_exits.py::test_what_is_shown_holds_no_address_no_credential_"
            "and_no_control_character_s19"
        ),
        says="assert hidden not in text",
    ),
    Control(
        holds="S19",
        protection="no line is written of each request",
        switch="access-log",
        file="orchestrator/edges/http/door.py",
        old='            access_log=None,  # type: ignore[arg-type] # aiohttp: "None for disabling"\n',
        new="            access_log=log,\n",
        test="tests/edges/http/test_door.py::test_aiohttp_is_told_to_write_no_access_log",
        says="assert WATCH not in caplog.text",
    ),
    Control(
        holds="S19",
        protection="masks are on unless a purpose takes them off",
        switch="masks-off",
        file="orchestrator/settings/file.py",
        old="    masks: bool = True\n",
        new="    masks: bool = False\n",
        test="tests/settings/test_masks.py::test_a_purpose_that_says_nothing_of_masks_has_them_on",
        says="assert [purpose.masks for purpose in loaded(tmp_path).policy.purposes] == [True]",
    ),
    Control(
        holds="S19",
        protection="where no purpose is written masks are on",
        switch="masks-off-by-default",
        file="orchestrator/core/policy.py",
        old="    masks: bool = True\n",
        new="    masks: bool = False\n",
        test="tests/settings/test_masks.py::test_without_any_purpose_masks_are_on",
        says=(
            "assert [purpose.masks for purpose in loaded(tmp_path, edited(PURPOSE, "
            '"")).policy.purposes] == [True]'
        ),
    ),
    Control(
        holds="S19",
        protection="what a mask covers is blurred",
        switch="nothing-masked",
        file="orchestrator/edges/worker/command.py",
        old="        stream = _masked(stream, mask)\n",
        new="        pass\n",
        test=(
            "tests/edges/worker/test_pictures.py::test_a_masked_region_loses_its_detail_and_the_rest_keeps_it"
        ),
        says="assert steepest(after, int(where[2] * 640)) < steepest(before, int(where[2] * 640)) / 2",
    ),
    Control(
        holds="S19",
        protection="names show to a reviewer who asks for them, and to whoever said them",
        switch="names-for-everybody",
        file="orchestrator/app/log_views.py",
        old=(
            "        return {key: dict(row) if names or key in own else without_names(row) for "
            "key, row in rows.items()}\n"
        ),
        new="        return {key: dict(row) for key, row in rows.items()}\n",
        test="tests/app/test_log_views.py::test_without_asking_for_names_everybody_reads_their_own_alone",
        says='assert await log.details(REVIEWER) == [{"name": None, "reason": "aim"}, HIDDEN_JOIN]',
    ),
    Control(
        holds="S19",
        protection="looking at names is an event",
        switch="unseen-look-at-names",
        file="orchestrator/app/names.py",
        old="            await self._write(event)\n",
        new="            pass\n",
        test=(
            "tests/app/test_log_views.py::test_a_reviewer_who_asks_for_names_sees_them_and_is_"
            "written_down_first"
        ),
        says='assert await log.looks() == [("m-reader", looked)]',
    ),
)

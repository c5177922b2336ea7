"""What keeps the parking undisturbed (K1, K3, K4)."""

from __future__ import annotations

from tests.controls.control import Control

CONTROLS = (
    Control(
        holds="K1",
        protection="nothing is published outside the prefix",
        switch="published-anywhere",
        file="orchestrator/edges/lane_outbox.py",
        old=(
            "        if self._prefix is None or below or not slash or any(sign in topic for sign "
            'in "+#\\0"):\n'
        ),
        new="        if self._prefix is None:\n",
        test="tests/edges/test_lane_outbox.py::test_nothing_else_is_k1",
        says='assert not outbox.put(Outgoing(topic, b"100", 1, retain=False))',
    ),
    Control(
        holds="K1",
        protection="no command topic is ever published",
        switch="commands-published",
        file="orchestrator/edges/lane_outbox.py",
        old='all(levels) and levels[-1] != "cmd"\n',
        new="all(levels)\n",
        test="tests/edges/test_lane_outbox.py::test_nothing_else_is_k1",
        says='assert not outbox.put(Outgoing(topic, b"100", 1, retain=False))',
    ),
    Control(
        holds="K3",
        protection="so many connections and no more",
        switch="any-number-of-connections",
        file="orchestrator/edges/http/door.py",
        old="        if len(self._open) >= MAX_CONNECTIONS and not self._make_room():\n",
        new="        if False:\n",
        test=(
            "tests/edges/http/test_door.py::test_connections_beyond_the_bound_are_refused_and_"
            "those_inside_go_on"
        ),
        says="Timeout (>8.0s)",
        limit_s=8,
    ),
    Control(
        holds="K3",
        protection="a body has at most 64 KiB",
        switch="any-body",
        file="orchestrator/edges/http/bodies.py",
        old="                if len(data) > MAX_BODY_BYTES:\n",
        new="                if False:\n",
        test="tests/edges/http/test_bodies.py::test_a_chunked_body_is_measured_too",
        says='assert (await wire.reply()).code == "too-large"',
    ),
    Control(
        holds="K3",
        protection="so many commands wait for a camera and no more",
        switch="any-number-of-commands",
        file="orchestrator/runtime/camera_actor.py",
        old="        if self._queue.qsize() >= COMMANDS_WAITING:\n",
        new="        if False:\n",
        test="tests/runtime/test_camera_actor.py::test_reports_are_taken_however_many_people_ask_at_once",
        says='assert set(codes) == {"slow-down", "too-many-viewers"}',
    ),
    Control(
        holds="K3",
        protection="so many appends wait for the log and no more",
        switch="any-number-of-appends",
        file="orchestrator/runtime/event_store/thread.py",
        old=" or len(self._jobs) >= QUEUE_LIMIT_JOBS:\n",
        new=":\n",
        test="tests/runtime/test_event_store_faults.py::test_a_queue_that_is_full_refuses_at_once",
        says="await first",
    ),
    Control(
        holds="K3",
        protection="so many publications wait for the broker and no more",
        switch="any-number-of-publications",
        file="orchestrator/edges/lane_outbox.py",
        old="            if full or not self._accepting",
        new="            if not self._accepting",
        test=(
            "tests/edges/test_lane_bus_publishing.py::TestWithMosquitto::test_publications_for_a_"
            "frozen_broker_are_bounded_and_stopping_is_too"
        ),
        says="assert taken < 3000",
    ),
    Control(
        holds="K3 S5",
        protection="a huge message ends the session with the broker unread",
        switch="huge-message-read",
        file="orchestrator/edges/lane_client.py",
        old="        if bufsize > MAX_PACKET_BYTES:\n",
        new="        if False:\n",
        test=(
            "tests/edges/test_lane_bus.py::TestWithMosquitto::test_a_large_message_is_cut_and_a_"
            "huge_one_ends_the_session_unread"
        ),
        says='listener.until_down("more than we can hold")',
    ),
    Control(
        holds="K4",
        protection="the broker keeps nothing for a gateway that is gone",
        switch="broker-keeps-a-session",
        file="orchestrator/edges/lane_session.py",
        old="        client.connect(settings.host, settings.port, settings.keepalive_s)\n",
        new=(
            "        lasting = mqtt.Properties(mqtt.PacketTypes.CONNECT)\n"
            "        lasting.SessionExpiryInterval = 3600\n"
            "        client.connect(settings.host, settings.port, settings.keepalive_s, "
            "properties=lasting)\n"
        ),
        test=(
            "tests/edges/test_lane_bus_leaving.py::TestWithMosquitto::test_a_broker_keeps_nothing_"
            "for_a_gateway_that_is_gone"
        ),
        says="assert not session_is_kept(broker.port, CLIENT)",
    ),
)

"""Who may connect, and by which listener (S7, S8, S9)."""

from __future__ import annotations

from tests.controls.control import Control

CONTROLS = (
    Control(
        holds="S7 S8",
        protection="the listener is bound to the VPN's device",
        switch="listener-on-every-device",
        file="orchestrator/edges/vpn/sockets.py",
        old="        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())\n",
        new="",
        test=(
            "tests/edges/vpn/test_sockets.py::test_a_host_on_the_lan_reaches_the_address_but_not_the_device"
        ),
        says="with pytest.raises(ConnectionRefusedError):",
    ),
    Control(
        holds="S7",
        protection="a listener that nobody declared is found",
        switch="strays-unseen",
        file="orchestrator/edges/vpn/sockets.py",
        old="        tuple(listener for listener in ours if _place(listener) not in expected),\n",
        new="        (),\n",
        test="tests/edges/vpn/test_sockets.py::test_a_planted_listener_is_a_stray",
        says="assert looked.strays == (",
    ),
    Control(
        holds="S7",
        protection="a listener of any process below us is ours",
        switch="children-unseen",
        file="orchestrator/edges/vpn/sockets.py",
        old="    for pid in tree(roots):\n",
        new="    for pid in roots:\n",
        test="tests/edges/vpn/test_sockets.py::test_a_descendants_listener_is_a_stray",
        says="[stray] = audit([]).strays",
    ),
    Control(
        holds="S7",
        protection="a kernel that does not answer proves nothing",
        switch="silence-is-proof",
        file="orchestrator/edges/vpn/sockets.py",
        old="        return Audit((), tuple(declared), (), str(error), looked_us)\n",
        new='        return Audit((), (), (), "", looked_us)\n',
        test="tests/edges/vpn/test_sockets.py::test_a_kernel_that_does_not_answer_proves_nothing",
        says="assert not looked.good",
    ),
    Control(
        holds="S7",
        protection="orphans of our children stay in our tree",
        switch="orphans-let-go",
        file="orchestrator/edges/vpn/processes.py",
        old="        if _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:\n",
        new="        if False:\n",
        test="tests/edges/vpn/test_orphans.py::test_an_orphan_of_our_children_is_found_below_us",
        says='assert done.stdout == "True\\n"',
    ),
    Control(
        holds="S7",
        protection="a stray locks",
        switch="stray-does-not-lock",
        file="orchestrator/app/host_facts.py",
        old='            fault="listener-exposed" if found.strays else "vpn-down",\n',
        new='            fault="vpn-down",\n',
        test="tests/app/test_host_facts.py::test_a_listener_that_nobody_declared_is_a_fault_that_locks",
        says='assert (found.good, found.fault) == (False, "listener-exposed")',
    ),
    Control(
        holds="S7",
        protection="a request looks around before it is taken",
        switch="no-look-before-opening",
        file="orchestrator/app/requests.py",
        old=("        self._look_around()\n        command = Request(\n"),
        new="        command = Request(\n",
        test=(
            "tests/app/test_look_around.py::test_the_look_comes_before_the_camera_is_asked[request-Request]"
        ),
        says='assert order.done == ["looked", command]',
    ),
    Control(
        holds="S7",
        protection="the link to the broker never binds nor listens",
        switch="broker-link-listens",
        file="orchestrator/edges/lane_client.py",
        old=("    def _create_socket_connection(self) -> socket.socket:\n        return self._connection\n"),
        new=(
            "    def _create_socket_connection(self) -> socket.socket:\n"
            "        return super()._create_socket_connection()\n"
        ),
        test=(
            "tests/edges/test_lane_bus_leaving.py::TestWithMosquitto::"
            "test_a_connection_is_made_without_giving_our_end_an_address"
        ),
        says="assert given == []",
    ),
    Control(
        holds="S8",
        protection="a connection without the device is cut unread",
        switch="connection-of-any-device",
        file="orchestrator/edges/http/door.py",
        old="        return found == device\n",
        new="        return True\n",
        test=(
            "tests/edges/http/test_device.py::test_a_connection_of_a_listener_without_a_device_is_"
            "cut_unread_and_told"
        ),
        says='assert await answered(sock, host) == b""',
    ),
    Control(
        holds="S8 S9",
        protection="one of our own addresses is nobody's device",
        switch="own-address-is-somebody",
        file="orchestrator/edges/vpn/wireguard.py",
        old="        entry = None if plain in seen.own else seen.membership.device(plain)\n",
        new="        entry = seen.membership.device(plain)\n",
        test="tests/edges/vpn/test_wireguard.py::test_no_address_of_the_gateway_is_ever_a_device",
        says="assert boundary.still(address, 50000) is None",
    ),
    Control(
        holds="S8",
        protection="the listener goes with the link, which would serve again by itself",
        switch="listener-outlives-the-link",
        file="orchestrator/app/listener.py",
        old=("            if self.declared:\n                self.shut(proof.detail)\n        elif"),
        new=("            pass\n        elif"),
        test="tests/app/test_listener.py::test_it_goes_with_the_interface_and_is_not_back_with_the_link",
        says="assert (scene.http.addresses, scene.listener.declared) == ([], ())",
    ),
    Control(
        holds="S7 S8",
        protection="what is exposed is judged, every gate first",
        switch="exposure-unjudged",
        file="orchestrator/app/listener.py",
        old=("        self._judge()\n        self.shut(detail)\n"),
        new="        self.shut(detail)\n",
        test="tests/app/test_listener.py::test_what_is_exposed_is_judged_before_the_listener_goes",
        says="assert scene.judged == [True]",
    ),
    Control(
        holds="S9",
        protection="a peer that stands for a network is nobody's device",
        switch="network-is-a-device",
        file="orchestrator/edges/vpn/wireguard_peers.py",
        old="        return all(network.num_addresses == 1 for network in self.allowed_ips)\n",
        new="        return True\n",
        test=(
            "tests/edges/vpn/test_wireguard_peers.py::test_a_peer_that_also_has_a_network_is_no_"
            "device_at_its_own_address_either"
        ),
        says='assert key_at("10.0.0.3", router) is None',
    ),
    Control(
        holds="S9",
        protection="how old the overlay's own knowledge may be is bounded",
        switch="old-control-plane-believed",
        file="orchestrator/edges/vpn/tailscaled.py",
        old=(
            "        if self.heard_us is not None and now_us - self.heard_us <= self._control_max_age_us:\n"
        ),
        new="        if self.heard_us is not None:\n",
        test=(
            "tests/edges/vpn/test_tailscale_interface.py::test_a_control_plane_not_heard_in_time_"
            "makes_identities_stale"
        ),
        says='assert "has not heard its control plane for 6" in stage.look().detail',
    ),
    Control(
        holds="S9",
        protection="a removed member is cut in the middle of the picture",
        switch="removed-member-watches-on",
        file="orchestrator/app/membership.py",
        old='                    site.leave(watch.id, "cut", "identity-revoked")\n',
        new="                    pass\n",
        test="tests/e2e/test_reload.py::test_a_member_who_is_removed_is_cut_in_the_middle_of_the_picture",
        says='assert left["data"]["reason"] == "cut"',
    ),
    Control(
        holds="S9",
        protection="the first byte to a viewer follows the durable viewer_joined",
        switch="first-byte-before-the-log",
        file="orchestrator/app/house.py",
        old=(
            "        await parts.actor.ask(Join(watch, caller.member.id, caller.device, person_of(caller)))\n"
        ),
        new="        parts.actor.tell(Join(watch, caller.member.id, caller.device, person_of(caller)))\n",
        test="tests/e2e/test_picture.py::test_a_viewer_is_in_the_log_before_the_first_byte",
        says="watch = gateway.join(source=VIEWER)",
    ),
    Control(
        holds="S9",
        protection="a watch is one person's on one device",
        switch="watch-of-anybody",
        file="orchestrator/app/house.py",
        old="        if found is None or not mine or found.camera",
        new="        if found is None or found.camera",
        test="tests/e2e/test_picture.py::test_a_watch_is_worth_nothing_to_anybody_else",
        says="assert (answer.status, answer.code) == expected, (source, path)",
    ),
    Control(
        holds="S9",
        protection="who is nobody's device gets nothing",
        switch="strangers-let-in",
        file="orchestrator/edges/http/identity.py",
        old="    caller = await house.caller(*peer_of(request))\n",
        new=(
            "    try:\n"
            "        caller = await house.caller(*peer_of(request))\n"
            "    except Refusal:\n"
            "        caller = None\n"
        ),
        test=(
            "tests/edges/http/test_door.py::test_without_an_identity_every_path_says_403_and_the_"
            "house_is_asked_nothing_else"
        ),
        says='assert (reply.status, reply.code) == (403, "unknown-device")',
    ),
    Control(
        holds="S9",
        protection="Host must name the listener, so that no other name leads here",
        switch="any-host",
        file="orchestrator/edges/http/identity.py",
        old=(
            "    if len(named) == 1 and named[0].lower() in ours and "
            'request.raw_path.startswith(("/", "*")):\n'
        ),
        new="    if len(named) == 1:\n",
        test="tests/edges/http/test_door.py::test_host_must_name_the_listener",
        says='assert (await client.ask("GET", "/api/v1/me", headers={"Host": host})).code == "wrong-host"',
    ),
    Control(
        holds="S9",
        protection="another site's page gets nothing",
        switch="any-origin",
        file="orchestrator/edges/http/identity.py",
        old=("    _same_site(request, host)\n    return"),
        new="    return",
        test="tests/edges/http/test_door.py::test_another_sites_page_gets_nothing_from_any_path",
        says='assert (reply.status, reply.code) == (403, "cross-site")',
    ),
    Control(
        holds="S9",
        protection="a picture is embedded by our own pages alone",
        switch="any-referer",
        file="orchestrator/edges/http/identity.py",
        old='if request.path.startswith("/live/") else []',
        new="if False else []",
        test=(
            "tests/edges/http/test_door.py"
            "::test_a_page_that_says_where_it_is_cannot_embed_a_picture_though_it_may_link_here"
        ),
        says='assert (reply.status, reply.code) == (403, "cross-site"), foreign',
    ),
)

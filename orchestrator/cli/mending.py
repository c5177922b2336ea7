"""What to do about a check that fails: one step for the person at the gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.cli.terminal import plain

Check = Mapping[str, Any]

_STEPS = {
    "window": "open a maintenance window: `volet windows add`, or wait for the next (`volet windows list`)",
    "identity": "give a person under [[members]] the role maintainer, this camera and a device of theirs",
    "config": (
        "`volet check --config FILE` lists every fault; its owner alone may write the file and its folder"
    ),
    "bus-connected": "start the broker, and look at [mqtt]: host, port, credentials, certificates",
    "bus-trusted": 'make the broker refuse anonymous clients, or accept them with [mqtt] trust = "open"',
    "camera": "wait for the cool-down, or acknowledge the lock: `volet acknowledge CAMERA --reason TEXT`",
    "host": "free the processor and the memory, or move the limits under [host]",
    "memory-only": "switch swap off (`swapoff -a`) and put [worker] segments on tmpfs",
    "clock": "start a time service (chrony, systemd-timesyncd); `timedatectl` must say synchronised",
    "log": "free the disk and look at the file of [log] url; `volet verify --log URL` says if it is whole",
}


def mending(check: Check) -> str:
    """The step for a check as `doctor` reports it; a lane rule's is about its topic."""
    identifier = str(check["id"])
    if identifier.startswith("lane-"):
        return "clear the lane, and look with `mosquitto_sub -v -t TOPIC` whether its sensor speaks"
    by_case = {"vpn-interface": _interface, "vpn-listener": _listener, "vpn-side-door": _side_door}
    if identifier in by_case:
        return by_case[identifier](check)
    return _STEPS.get(identifier, "look at the evidence above")


def _interface(check: Check) -> str:
    evidence = check.get("evidence") or {}
    name = plain(evidence.get("interface") or "the interface")
    if check.get("fault") == "vpn-not-private":
        return f"give {name} addresses of a private network (RFC 1918, RFC 4193, 100.64.0.0/10)"
    step = {"wireguard": _wireguard, "tailscale": _tailscale}.get(str(evidence.get("provider")), _loopback)
    return step(evidence, name)


def _wireguard(evidence: Check, name: str) -> str:
    if not evidence.get("is_tunnel"):
        return f"`wg-quick up {name}`, or set vpn.interface to the tunnel that `wg show interfaces` names"
    if not evidence.get("up"):
        return f"`ip link set {name} up`"
    if not evidence.get("holds_address"):
        return f"`ip address add ADDRESS dev {name}`, or set vpn.address to one that it holds"
    return (
        f"see that `wg show {name} peers` answers as root; for a daemon that is not root: "
        "`systemctl start volet-peers`, and set vpn.helper to its socket"
    )


def _tailscale(evidence: Check, name: str) -> str:
    if not evidence.get("running"):
        return (
            "`systemctl start tailscaled`, then `tailscale up`; `tailscale status` says what it still lacks"
        )
    if not evidence.get("up"):
        return f"`ip link set {name} up`; tailscaled must not run with --tun=userspace-networking"
    if not evidence.get("holds_address"):
        return "set vpn.address to one that `tailscale ip` says, or take it out; then `tailscale up`"
    return "`tailscale status` and `tailscale netcheck` say why the control plane is not heard"


def _loopback(evidence: Check, name: str) -> str:
    if not evidence.get("up"):
        return f"`ip link set {name} up`; the loopback provider needs lo"
    return "set vpn.address to one in 127.0.0.0/8 that lo holds"


def _listener(check: Check) -> str:
    found = _found(check)
    taken = [each for each in found if each["kind"] == "port-taken"]
    strays = [each for each in found if each["kind"] == "stray"]
    if taken:
        return f"stop {_holder(taken[0])}, or give us another port with vpn.port"
    if strays:
        each = "; ".join(
            f"{_holder(stray)}, {plain(stray['protocol'])} {_place(stray)}" for stray in strays[:3]
        )
        return f"stop {each}; then an approver acknowledges the lock with a reason"
    return "do what is said above; while vpn-interface fails, mend that first"


def _side_door(check: Check) -> str:
    if check.get("fault") == "vpn-not-private":
        return (
            "run the command above (ops/side-door.md, steps 2 and 3); then an approver acknowledges the lock"
        )
    doors = [each for each in _found(check) if not each.get("accepted")]
    if not doors:
        return "see that doctor may read sockets: AF_NETLINK in RestrictAddressFamilies"
    door = doors[0]
    port = int(door["port"])
    return (
        f"make {_holder(door)} listen on 127.0.0.1:{port} (Flask: "
        f'`app.run(host="127.0.0.1", port={port})`); until then drop it with nft, '
        f'`iifname != "lo" tcp dport {port} drop`, and accept listener = "{_place(door)}" with an end '
        "(ops/side-door.md, step 1)"
    )


def _found(check: Check) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = check.get("found") or ()
    return found


def _holder(found: Mapping[str, Any]) -> str:
    if found.get("pid") is None:
        return f"the program that `ss -lnp 'sport = :{int(found['port'])}'` names as root"
    program = plain(found.get("program") or "a program")
    return f"{program} (process {int(found['pid'])})"


def _place(found: Mapping[str, Any]) -> str:
    address = plain(found["address"])
    return f"[{address}]:{int(found['port'])}" if ":" in address else f"{address}:{int(found['port'])}"

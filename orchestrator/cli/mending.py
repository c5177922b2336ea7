"""What to do about a check that fails: one step for the person at the gateway."""

from __future__ import annotations

_STEPS = {
    "window": "open a maintenance window: add one to [[windows]], or wait for the next",
    "identity": "give the person the role maintainer, this camera and their device under [[members]]",
    "vpn-interface": "start the overlay (`systemctl start tailscaled`) and look at `ip address`",
    "vpn-listener": "stop whatever of ours listens elsewhere; `ss -tulpn` shows it",
    "vpn-side-door": (
        "shut the other way to the picture: bind the camera's service to 127.0.0.1, `tailscale funnel off`, "
        "`tailscale serve off`"
    ),
    "config": (
        "`volet check --config FILE` lists every fault; its owner alone may write the file and its folder"
    ),
    "bus-connected": "start the broker, and look at [mqtt] host, port and credentials",
    "bus-trusted": 'make the broker refuse anonymous clients, or accept them with [mqtt] trust = "open"',
    "camera": "wait for the cool-down, or acknowledge the lock: `volet acknowledge CAMERA --reason TEXT`",
    "host": "free the processor and the memory, or move the limits under [host]",
    "memory-only": "switch swap off (`swapoff -a`) and put [worker] segments on tmpfs",
    "clock": "start a time service (chrony, systemd-timesyncd); `timedatectl` must say synchronised",
    "log": "free the disk and look at the file of [log] url; `volet verify --log URL` says if it is whole",
}


def mending(check: str) -> str:
    """The step for that check id; a lane rule's is about its topic."""
    if check.startswith("lane-"):
        return "clear the lane, and look with `mosquitto_sub -v -t TOPIC` whether its sensor speaks"
    return _STEPS.get(check, "look at the evidence above")

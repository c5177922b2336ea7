"""What the kernel says of the Tailscale interface and of the addresses that tailscaled names (S8, F1, F2)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.edges.vpn.links import Link, addresses_on, globally_routable, link

_IPV6_OFF = "/proc/sys/net/ipv6/conf/{}/disable_ipv6"


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that is not proven: the fault it is, and what was found and what to do."""

    fault: str
    detail: str


@dataclass(frozen=True, slots=True)
class Sight:
    """One look. `wanted` are the addresses that must be held, `held` those that are, in the same order;
    `address_doubt` what is wrong with them; `unread` why the kernel did not answer."""

    interface: str
    found: Link | None
    wanted: tuple[str, ...]
    held: tuple[str, ...]
    address_doubt: Doubt | None
    unread: str = ""

    @property
    def up(self) -> bool:
        """There, and administratively up."""
        return self.found is not None and self.found.up

    @property
    def link_is_good(self) -> bool:
        """Up, and of the kind that tailscaled makes."""
        return self.found is not None and self.found.up and self.found.kind == "tun"

    @property
    def holds(self) -> bool:
        """Every address that must be there is."""
        return bool(self.wanted) and self.held == self.wanted

    @property
    def listen_on(self) -> tuple[str, ...]:
        """The held addresses, the first of each family."""
        first: dict[bool, str] = {}
        for each in self.held:
            first.setdefault(":" in each, each)
        return tuple(first.values())


def see(interface: str, address: str | None, told: Sequence[str]) -> Sight:
    """Look at the interface. `address` is `vpn.address`, `told` what tailscaled calls the node's own."""
    try:
        found = link(interface)
        holding = addresses_on(found.index) if found is not None else ()
    except OSError as error:
        return Sight(interface, None, (), (), None, f"the kernel does not say what {interface} is: {error}")
    if address is None:
        wanted = tuple(each for each in told if _expected(interface, each))
    else:
        wanted = tuple(each for each in told if each == address)
    held = tuple(each for each in wanted if each in holding)
    return Sight(interface, found, wanted, held, _address_doubt(interface, address, wanted, held))


def interface_doubt(sight: Sight) -> Doubt | None:
    """What is wrong with the link itself."""
    name, found = sight.interface, sight.found
    if sight.unread:
        return Doubt("vpn-down", sight.unread)
    if found is None:
        return Doubt("vpn-down", f"there is no interface {name}: start tailscaled, or set vpn.interface")
    if found.kind != "tun":
        kind = found.kind or "a plain device"
        return Doubt("vpn-down", f"{name} is {kind}, not the tun device that tailscaled makes")
    if not found.up:
        return Doubt("vpn-down", f"{name} is down: ip link set {name} up")
    return None


def _expected(interface: str, address: str) -> bool:
    """tailscaled gives the interface no IPv6 address where IPv6 is off, though the node has one."""
    if ":" not in address:
        return True
    try:
        return Path(_IPV6_OFF.format(interface)).read_text().strip() == "0"
    except OSError:
        return False


def _address_doubt(
    interface: str, address: str | None, wanted: Sequence[str], held: Collection[str]
) -> Doubt | None:
    if not wanted:
        found = f"{address} is not an address of this node" if address else "this node has no address"
        return Doubt("vpn-address-changed", f"{found}: tailscale ip, or set vpn.address")
    public = [each for each in wanted if globally_routable(each)]
    if public:
        return Doubt("vpn-not-private", f"{public[0]} is an address of the public Internet, not of a tailnet")
    missing = [each for each in wanted if each not in held]
    if missing:
        return Doubt(
            "vpn-address-changed",
            f"{interface} does not hold {missing[0]}, which tailscaled calls this node's: "
            f"ip address show dev {interface}; without IPv6 set vpn.address to the IPv4 one",
        )
    return None

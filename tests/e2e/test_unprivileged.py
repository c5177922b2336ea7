"""The boundary as nobody has it: no capability, and a helper that says no more than it must (S8, S9)."""

import base64
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.another_user import NOBODY, STRANGER
from tests.e2e.conftest import GATEWAYS
from tests.e2e.outsiders import Scene, lan_gets_nothing, lan_gets_nothing_while_the_interface_is_down
from tests.e2e.unprivileged_gateway import UnprivilegedGateway, said
from tests.edges.vpn.lab import UAPI_FOLDER, lab, run
from tests.edges.vpn.open_folder import open_folder

pytestmark = pytest.mark.slow

REBINDING = (str(Path(__file__).with_name("rebinding_daemon.py")), "--device", "lan0")
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
DAC_OVERRIDE, NET_ADMIN, SYS_PTRACE = 1, 12, 19
QUESTION = b"peers\n"


class UnprivilegedScene(Scene):
    """And the secrets of its tunnels: private keys, and a preshared one."""

    def __init__(self, gateway: UnprivilegedGateway, secrets: list[str]) -> None:
        super().__init__(gateway)
        self.unprivileged, self.secrets = gateway, secrets

    def spilt(self, data: bytes) -> list[str]:
        """The secrets that stand in there, as they are, in hex, or in base64 without its padding."""
        forms = {
            secret: (secret.rstrip("=").encode(), raw.hex().encode(), raw.hex().upper().encode(), raw)
            for secret, raw in ((secret, base64.b64decode(secret)) for secret in self.secrets)
        }
        return [secret for secret, written in forms.items() if any(form in data for form in written)]


@pytest.fixture(scope="module")
def scene(request: pytest.FixtureRequest) -> Iterator[UnprivilegedScene]:
    """One for the module: the session goes on from test to test, and is asked for anew when it was shut."""
    with open_folder() as folder, lab(("laptop", "tablet")) as found:
        ends, tablet = (found.gateway, *found.peers.values()), found.peers["tablet"]
        shared = run("wg", "genpsk")
        for here, there in ((found.gateway, tablet), (tablet, found.gateway)):
            here.wg("peer", there.key, "preshared-key", "/dev/stdin", given=shared)
        gateway = UnprivilegedGateway(folder, found, max_session="10m", idle_close="10m")
        request.node.stash[GATEWAYS] = [gateway]
        try:
            gateway.start(REBINDING)
            yield UnprivilegedScene(gateway, [shared, *(end.private for end in ends)])
        finally:
            gateway.stop()


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_daemon_and_worker_are_nobody_without_any_capability(scene: UnprivilegedScene) -> None:
    """As `volet.service` has it; the helper keeps what `volet-peers.service` says."""
    gateway = scene.unprivileged
    with scene.watched():
        for pid in (gateway.daemon.pid, gateway.worker(scene.session).pid):
            status = status_of(pid)
            assert {int(status[name], 16) for name in CAPABILITIES} == {0}
            assert status["Uid"].split() == status["Gid"].split() == [str(NOBODY)] * 4
            assert (status["Groups"], status["NoNewPrivs"]) == ("", "1")
        kept = int(status_of(gateway.peers.pid)["CapEff"], 16)
        assert kept == 1 << DAC_OVERRIDE | 1 << NET_ADMIN | 1 << SYS_PTRACE


def test_a_member_watches_through_the_tunnel_and_the_lan_gets_nothing(scene: UnprivilegedScene) -> None:
    """F5: also while the interface is down, and when it is up again (F25)."""
    with scene.watched():
        lan_gets_nothing(scene)
    lan_gets_nothing_while_the_interface_is_down(scene)
    with scene.watched():
        lan_gets_nothing(scene)


def test_the_kernel_lets_the_daemon_neither_rebind_nor_unbind_a_listener(scene: UnprivilegedScene) -> None:
    """FIELD 2: without CAP_NET_RAW the first binding is the last; as root it is not, see `test_outsiders`."""
    gateway, daemon = scene.gateway, scene.gateway.daemon
    with scene.watched():
        before = len(daemon.lines)
        daemon.kill(signal.SIGUSR1)
        assert daemon.wait_json("tried", after=before) == 4
        tries = [json.loads(line) for line in daemon.lines[before:] if line.startswith('{"address"')]
        assert {(one["address"], one["wish"]) for one in tries} == {
            (address, wish) for address in scene.addresses() for wish in ("lan0", "")
        }
        assert {(one["said"], one["bound"]) for one in tries} == {("EPERM", gateway.lab.interface)}


def questions(interface: str, other: str) -> list[list[bytes]]:
    """All that one might ask: its own word and words like it, other programs' words, and no words at all."""
    words = ["", "Peers", "PEERS", "peer", "keys", "private-key", "private_key", "preshared-keys", "dump"]
    words += ["help", "*", "%s%s%n", "../" * 20, '{"peers": true}', "showconf", "set=1", "get=1", "get=1\n"]
    words += [f"{word} {name}" for word in ("peers", "show", "dump") for name in (interface, other, "all")]
    words += ["peers private-key", "peers\0", "peers\r", " peers", "peers ", "GET / HTTP/1.1\r\n"]
    lines = [[f"{word}\n".encode()] for word in words]
    halves = [[], [b"peers"], [b"pee", b"rs"], [b"peers\npee"], [b"\n" * 100], [b"x"], [bytes(range(256))]]
    long = [[b"x" * 100_000], [b"peers" * 20_000], [b"\0" * 100_000 + b"\n"], [b"peers\n" + b"x" * 100_000]]
    return [*lines, *halves, *long, [QUESTION], [QUESTION, QUESTION], [QUESTION * 3 + b"dump\n"]]


def test_nothing_that_the_helper_tells_the_daemons_user_is_secret(scene: UnprivilegedScene) -> None:
    """Every word of its vocabulary and garbage, its own process, and the ways around it."""
    gateway, found = scene.unprivileged, scene.gateway.lab
    laptop = found.peers["laptop"]
    asked = questions(found.interface, laptop.interface)
    with scene.watched():
        came = gateway.tries(
            NOBODY,
            questions=[[base64.b64encode(piece).decode() for piece in pieces] for pieces in asked],
            files=[f"/proc/{gateway.peers.pid}/{name}" for name in ("mem", "maps", "environ", "fd", "stack")],
            commands=[
                *(["wg", "show", found.interface, what] for what in ("dump", "private-key", "allowed-ips")),
                ["wg", "showconf", found.interface],
            ],
        )
    told = [said(one) for one in came["questions"]]
    everything = b"\n".join([*told, *map(said, came["commands"]), gateway.peers.output.read_bytes()])
    assert scene.spilt(everything) == []
    assert {tuple(one) for one in came["files"].values()} == {("error",)}
    for pieces, answer in zip(asked, told, strict=True):
        answers = list(map(json.loads, answer.splitlines()))
        proper = _proper_questions(b"".join(pieces))
        for one in answers[:proper]:
            assert set(one) == {"interface", "namespace", "peers"}
            assert one["interface"] == found.interface, pieces
            assert {frozenset(peer) for peer in one["peers"]} == {
                frozenset({"key", "allowed_ips", "handshake_age_s"})
            }
            assert {peer["key"] for peer in one["peers"]} == {peer.key for peer in found.peers.values()}
        refused = [{"error": "the one question here is `peers`"}]
        assert answers[proper:] in ([], refused), pieces


def _proper_questions(sent: bytes) -> int:
    """How often it was asked its one question before anything else was said."""
    count = 0
    while sent.startswith(QUESTION, count * len(QUESTION)):
        count += 1
    return count


def test_who_is_not_in_its_group_gets_nothing_at_all(scene: UnprivilegedScene) -> None:
    """Kept out by the run folder, and by the socket's own mode where that folder is open to all."""
    gateway = scene.unprivileged
    wish: dict[str, Any] = {"questions": [[base64.b64encode(QUESTION).decode()], []]}
    with scene.watched():
        asked_by = len(gateway.peers.lines)
        for mode in (0o750, 0o755):
            gateway.run.chmod(mode)
            try:
                came = gateway.tries(STRANGER, **wish)
            finally:
                gateway.run.chmod(0o750)
            assert came["questions"] == [{"error": "EACCES"}] * 2
        assert gateway.peers.lines[asked_by:] == []


@pytest.mark.parametrize("user", [NOBODY, STRANGER])
def test_nobody_but_root_may_ask_who_runs_the_tunnel(scene: UnprivilegedScene, user: int) -> None:
    """wireguard-go's own socket answers `get=1` with its private key."""
    path, uapi = UAPI_FOLDER / f"{scene.gateway.lab.interface}.sock", base64.b64encode(b"get=1\n\n").decode()
    came = scene.unprivileged.tries(user, socket=str(path), questions=[[uapi]])
    assert came["questions"] == [{"error": "EACCES"}]


def test_nothing_that_the_daemon_wrote_holds_a_secret_of_the_tunnel(scene: UnprivilegedScene) -> None:
    gateway = scene.unprivileged
    with scene.watched():
        texts = [json.dumps(scene.log()).encode(), gateway.daemon.output.read_bytes()]
        texts += [path.read_bytes() for path in gateway.folder.rglob("*") if path.is_file()]
    assert scene.spilt(b"\n".join(texts)) == []
    assert scene.spilt(base64.b64decode(scene.secrets[0])) == scene.secrets[:1]

"""The link under TLS: whom it trusts, what it says when it does not, and the probe as a stranger (F30)."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.edges.lane_bus import Heard, anonymous_refused
from orchestrator.settings.certificates import Certificates
from tests.edges.authority import Authority, broker_lines, needs_openssl
from tests.edges.lane_broker import (
    PATIENCE_S,
    STATUS,
    TOPIC,
    Broker,
    Listener,
    Start,
    WithBus,
    boottime_us,
    limits,
    needs_mosquitto,
)

MakeBroker = Callable[..., Broker]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def broker_certificates(site: Authority) -> Certificates:
    return site.issue("broker")


class TestWithMosquitto(WithBus):
    """Each with a real broker and certificates made for it."""

    pytestmark = needs_mosquitto + needs_openssl

    @pytest.fixture
    def make_broker(self, tmp_path: Path) -> Iterator[MakeBroker]:
        made: list[Broker] = []

        def make(*lines: str, anonymous: bool = True) -> Broker:
            folder = tmp_path / f"broker-{len(made)}"
            folder.mkdir()
            made.append(Broker(folder, *lines, anonymous=anonymous).start())
            return made[-1]

        yield make
        for broker in made:
            broker.stop()

    def test_a_burst_is_heard_to_its_end_though_tls_has_read_it_already(
        self, make_broker: MakeBroker, start: Start, broker_certificates: Certificates
    ) -> None:
        """What TLS has decrypted no poll announces: nobody waits for the next message to hear this one."""
        broker = make_broker(*broker_lines(broker_certificates))
        turns: set[int] = set()

        class Counting(Listener):
            def on_heard(self, heard: Heard) -> None:
                if heard.topic != STATUS:
                    turns.add(bus.alive_at_us)
                super().on_heard(heard)

        listener = Counting()
        trusted = broker_certificates.without_our_own()
        bus = start(broker.port, listener, TOPIC, STATUS, clock=boottime_us, certificates=trusted)
        listener.until_up()
        texts = [b"%d" % number for number in range(500)]
        for text in texts:
            assert bus.publish(STATUS, text, qos=1, retain=False)
        listener.until(lambda: len(listener.heard) >= 500)
        assert [heard.payload for heard in listener.heard] == texts

    @pytest.mark.parametrize(
        ("how", "said"),
        [
            ("other authority", "is not signed by an authority in"),
            ("expired", "the broker's certificate has expired: renew it there"),
            ("other name", "the broker's certificate is not for '127.0.0.1'"),
        ],
    )
    def test_a_broker_that_cannot_prove_its_name_is_not_spoken_to(
        self, make_broker: MakeBroker, start: Start, site: Authority, tmp_path: Path, how: str, said: str
    ) -> None:
        names = "DNS:other.example" if how == "other name" else "IP:127.0.0.1"
        theirs = site.issue(how.replace(" ", "-"), names=names, ended=how == "expired")
        broker = make_broker(*broker_lines(theirs))
        trusted = Authority(tmp_path / "other").ca if how == "other authority" else site.ca
        listener = Listener()
        start(
            broker.port, listener, TOPIC, certificates=Certificates(trusted), username="volet", password="x"
        )
        listener.until_down(said)
        assert not any(link.connected for link in listener.links)
        assert anonymous_refused("127.0.0.1", broker.port, PATIENCE_S, Certificates(trusted)) is None

    def test_a_port_without_tls_and_a_port_with_it_are_told_apart(
        self, make_broker: MakeBroker, start: Start, broker_certificates: Certificates
    ) -> None:
        plain, secured = make_broker(), make_broker(*broker_lines(broker_certificates))
        asking, not_asking = Listener(), Listener()
        start(plain.port, asking, TOPIC, certificates=broker_certificates.without_our_own())
        start(secured.port, not_asking, TOPIC)
        asking.until_down("does this port speak TLS?")
        not_asking.until_down("if the port expects TLS, ca_file turns it on")

    def test_a_broker_that_asks_for_our_certificate_gets_it_and_a_stranger_is_refused(
        self, make_broker: MakeBroker, start: Start, site: Authority, broker_certificates: Certificates
    ) -> None:
        lines = broker_lines(broker_certificates, "require_certificate true", "use_identity_as_username true")
        broker = make_broker(*lines, anonymous=False)
        ours, without, expired = Listener(), Listener(), Listener()
        certificates = site.issue("volet")
        start(broker.port, ours, TOPIC, certificates=certificates)
        ours.until_up()
        start(broker.port, without, TOPIC, certificates=certificates.without_our_own())
        without.until_down("the broker asks for a certificate of ours: name one in cert_file and key_file")
        start(broker.port, expired, TOPIC, certificates=site.issue("old", ended=True))
        expired.until_down("(alert certificate expired): renew it")
        assert anonymous_refused("127.0.0.1", broker.port, PATIENCE_S, certificates) is True

    @pytest.mark.parametrize("lets_in", [True, False])
    def test_the_probe_knocks_under_tls(
        self, make_broker: MakeBroker, broker_certificates: Certificates, lets_in: bool
    ) -> None:
        broker = make_broker(*broker_lines(broker_certificates), anonymous=lets_in)
        found = anonymous_refused("127.0.0.1", broker.port, PATIENCE_S, broker_certificates)
        assert found is not lets_in

    def test_a_wrong_password_is_said_with_what_to_look_at(
        self, make_broker: MakeBroker, start: Start, broker_certificates: Certificates, tmp_path: Path
    ) -> None:
        passwords = tmp_path / "passwords"
        command = ["mosquitto_passwd", "-c", "-b", str(passwords), "volet", "right"]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
        lines = broker_lines(broker_certificates, f"password_file {passwords}")
        broker = make_broker(*lines, anonymous=False)
        right, wrong = Listener(), Listener()
        known = {"certificates": broker_certificates.without_our_own(), "username": "volet"}
        start(broker.port, right, TOPIC, **known, password="right")
        right.until_up()
        start(broker.port, wrong, TOPIC, **known, password="wrong")
        wrong.until_down("the broker refused the connection: Not authorized: look at username, password_file")

    def test_the_files_are_read_anew_at_each_connection(
        self, make_broker: MakeBroker, start: Start, broker_certificates: Certificates, tmp_path: Path
    ) -> None:
        broker = make_broker(*broker_lines(broker_certificates))
        authority = tmp_path / "ca.crt"
        shutil.copy(Authority(tmp_path / "other").ca, authority)
        listener = Listener()
        start(broker.port, listener, TOPIC, certificates=Certificates(authority))
        listener.until_down("is not signed by an authority in")
        shutil.copy(broker_certificates.ca_file, authority)
        listener.until_up()
        authority.unlink()
        broker.stop()
        broker.start()
        listener.until_down(f"ca_file {authority}: no such file or directory")

    def test_a_broker_that_never_answers_the_handshake_is_given_up(
        self,
        make_broker: MakeBroker,
        start: Start,
        broker_certificates: Certificates,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        limits(monkeypatch, times=1)
        broker = make_broker(*broker_lines(broker_certificates))
        broker.freeze()
        listener = Listener()
        start(broker.port, listener, TOPIC, certificates=broker_certificates.without_our_own())
        listener.until_down("the TLS handshake failed (no answer in time)")
        limits(monkeypatch, times=50)
        broker.thaw()
        listener.until_up()


@needs_openssl[0]
@pytest.mark.slow
def test_there_is_no_tls_below_1_2_and_none_that_does_not_verify(tmp_path: Path) -> None:
    context = Authority(tmp_path).issue("volet").context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname

"""Whether Funnel or Serve leads to us or to the camera (F4), for the forms that a serve-config takes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.edges.vpn.serve_config import Guarded, ways_in
from orchestrator.edges.vpn.tailscale_shapes import UnknownShape

GUARDED = Guarded(
    port=8080,
    sources=frozenset({("127.0.0.1", 8000)}),
    paths=("/run/volet", "/run/volet/volet.sock"),
    own=frozenset({"100.101.102.103", "192.168.1.5"}),
)


def web(target: str, port: int = 443, key: str = "Proxy") -> dict[str, Any]:
    place = f"edge-gw.tail0000.ts.net:{port}"
    return {"TCP": {str(port): {"HTTPS": True}}, "Web": {place: {"Handlers": {"/": {key: target}}}}}


def tcp(target: str, port: int = 10000) -> dict[str, Any]:
    return {"TCP": {str(port): {"TCPForward": target}}}


FUNNEL = {"AllowFunnel": {"edge-gw.tail0000.ts.net:443": True}}

LEADS_TO_US = [
    (web("http://127.0.0.1:8080"), False, "our own port"),
    (web("http://127.0.0.1:8080") | FUNNEL, True, "our own port"),
    (web("http://127.0.0.1:8080") | {"AllowFunnel": {"x.ts.net:443": False}}, False, "our own port"),
    (web("http://127.0.0.1:8080") | {"AllowFunnel": {"x.ts.net:8443": True}}, False, "our own port"),
    (web("http://localhost:8000/mjpeg/cam1") | FUNNEL, True, "a camera's source"),
    (web("localhost:8000"), False, "a camera's source"),
    (web("8000"), False, "a camera's source"),
    (web("https+insecure://[::1]:8000"), False, "a camera's source"),
    (web("http://100.101.102.103:8080"), False, "our own port"),
    (web("http://192.168.1.5:8000"), False, "a camera's source"),
    (web("http://edge-gw:8000"), False, "a camera's source"),
    (web("http://0.0.0.0:8080"), False, "our own port"),
    (web("http://[::ffff:127.0.0.1]:8000"), False, "a camera's source"),
    (tcp("127.0.0.1:8000"), False, "a camera's source"),
    (tcp(":8080"), False, "our own port"),
    (tcp("127.0.0.1:9000", port=8080), False, "in place of our listener"),
    (web("/run/volet/cam1", key="Path"), False, "where our picture or our socket lies"),
    (web("/", key="Path"), False, "where our picture or our socket lies"),
    (web("unix:/run/volet/volet.sock"), False, "where our picture or our socket lies"),
    ({"Foreground": {"session": web("http://127.0.0.1:8000") | FUNNEL}}, True, "a camera's source"),
    ({"Foreground": {"session": FUNNEL}} | web("http://127.0.0.1:8000"), True, "a camera's source"),
    ({"Services": {"svc:cam": web("http://127.0.0.1:8000")}}, False, "a camera's source"),
]
LEADS_ELSEWHERE: list[Any] = [
    None,
    {},
    {"TCP": None, "Web": None, "AllowFunnel": None, "Foreground": None},
    web("http://127.0.0.1:3000") | FUNNEL,
    web("http://192.168.1.77:8080"),
    web("http://192.168.1.77:8000"),
    web("http://dashboard:3000"),
    web("/srv/www", key="Path"),
    web("hello", key="Text"),
    web("https://elsewhere.example:8080/", key="Redirect"),
    tcp("127.0.0.1:22"),
    {"TCP": {"443": None}, "Web": {"a:443": None}},
    {"Services": {"svc:files": {"Tun": True}}},
]
UNKNOWN: list[Any] = [
    [],
    "serve",
    {"UDP": {"443": {}}},
    {"TCP": []},
    {"TCP": {"https": {"HTTPS": True}}},
    {"TCP": {"443": {"QUIC": True}}},
    {"TCP": {"443": {"TCPForward": 8000}}},
    {"TCP": {"443": {"TCPForward": "127.0.0.1"}}},
    {"TCP": {"443": {"TCPForward": "127.0.0.1:99999"}}},
    {"Web": {"edge-gw": {"Handlers": {"/": {"Proxy": "http://127.0.0.1:3000"}}}}},
    {"Web": {"edge-gw:443": {"Mounts": {}}}},
    {"Web": {"edge-gw:443": {"Handlers": {"/": {"Proxy": ["http://127.0.0.1:3000"]}}}}},
    {"Web": {"edge-gw:443": {"Handlers": {"/": {"Command": "cat"}}}}},
    {"AllowFunnel": {"edge-gw:443": "yes"}},
    {"AllowFunnel": ["edge-gw:443"]},
    {"Foreground": {"a": {"Foreground": {"b": {}}}}},
]


@pytest.mark.parametrize(("config", "public", "what"), LEADS_TO_US)
def test_a_way_to_our_port_or_to_the_camera_is_found(config: Any, public: bool, what: str) -> None:
    (way,) = ways_in(config, GUARDED)
    assert (way.public, way.what) == (public, what)
    assert ("tailscale funnel reset" if public else "tailscale serve reset") in str(way)


@pytest.mark.parametrize("config", LEADS_ELSEWHERE)
def test_what_leads_elsewhere_is_no_business_of_ours(config: Any) -> None:
    assert ways_in(config, GUARDED) == ()


@pytest.mark.parametrize("config", UNKNOWN)
def test_a_config_that_cannot_be_followed_is_not_believed(config: Any) -> None:
    with pytest.raises(UnknownShape):
        ways_in(config, GUARDED)


def test_one_way_among_many_is_enough() -> None:
    config = web("http://127.0.0.1:3000")
    config["Web"]["edge-gw.tail0000.ts.net:443"]["Handlers"]["/cam"] = {"Proxy": "http://127.0.0.1:8000"}
    assert len(ways_in(config, GUARDED)) == 1


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["TCP", "Web", "AllowFunnel", "Foreground", "Handlers", "Proxy", "a:1", "443"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.slow
@given(_JSON)
def test_whatever_stands_there_is_followed_or_refused(config: Any) -> None:
    try:
        ways = ways_in(config, GUARDED)
    except UnknownShape:
        return
    assert all(1 <= way.port <= 65535 for way in ways)

"""Another site's page in a member's own browser: it sees nothing, reads nothing and changes nothing (F30).

The member has a camera open and watches it. What only a program can send is spoken byte by byte; what a page
can do is done by a page, in a real browser, to the watch that is theirs and to one that is guessed.
"""

import http.client
import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import aiohttp
import pytest

from tests.e2e.another_site import EMBED, LEARNED, POST, QUIET, SENT, Site
from tests.e2e.client import LIMIT_S, connection_from
from tests.e2e.configuration import MAINTAINER_PLAYER, MEMBERS
from tests.e2e.conftest import MakeGateway
from tests.e2e.follower import name_of, told
from tests.e2e.gateway import Flow, Gateway
from tests.e2e.incident import log_is_whole
from tests.edges.http.webdriver import Browser, chromium

pytestmark = pytest.mark.slow

BROWSER = MAINTAINER_PLAYER
"""Where this machine's browser comes from: a device of the member whose session it is."""
NAME, EVIL, REBOUND = "gw.test", "evil.test", "rebound.test"
"""Names that lead to the gateway's address: its own, another site's, and one bound anew to it."""
PIECE_BYTES = 64 * 1024
GUESSED = "01890000-0000-7000-8000-000000000000"
TRANSITIONS = "/api/v1/cameras/cam1/transitions"
JSON = "Content-Type: application/json"
CLOSE, REQUEST = b'{"trigger": "close"}', b'{"trigger": "request", "reason": "look", "wait_s": 0}'

# Each is sent with a closing and with a look at the picture. RFC 9112 3.2 asks 400 for the two of HTTP/1.1.
HOSTS = {
    "another site's": (421, ["Host: evil.test"]),
    "another site's, at our port": (421, ["Host: evil.test:{port}"]),
    "ours within another": (421, ["Host: {address}.evil.test:{port}"]),
    "our name within another": (421, ["Host: gw.test.evil.test:{port}"]),
    "this machine's": (421, ["Host: localhost:{port}"]),
    "the root's dot": (421, ["Host: gw.test.:{port}"]),
    "no port": (421, ["Host: {address}"]),
    "another port": (421, ["Host: {address}:{other}"]),
    "a user before it": (421, ["Host: evil@{address}:{port}"]),
    "two in one": (421, ["Host: {address}:{port}, evil.test"]),
    "none in it": (421, ["Host:"]),
    "behind a forwarded one": (421, ["Host: evil.test", "X-Forwarded-Host: {address}:{port}"]),
    "none": (400, []),
    "twice": (400, ["Host: {address}:{port}", "Host: {address}:{port}"]),
    "ours and another": (400, ["Host: {address}:{port}", "Host: evil.test"]),
}
TARGETS = ["http://{address}:{port}", "http://evil.test", "http://gw.test:{port}", "https://{address}:{port}"]
ORIGINS = [
    "http://evil.test", "https://evil.test", "null", "", "file://", "http://{address}", "http://gw.test",
    "http://{address}:{other}", "http://{address}:{port}.evil.test", "http://evil.test:{port}",
    "http://gw.test:{port}", "http://{address}:{port} http://evil.test",
]  # fmt: skip
KINDS = [
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain",
    "text/plain; charset=application/json", "application/json; charset=utf-16", "text/json",
    "application/jsonp", "application/problem+json", "",
]  # fmt: skip
EMBEDDINGS = ["video", "image", "iframe", "embed", "object", "script", "style", "empty", "audio", "track"]


@dataclass(frozen=True, slots=True)
class House:
    """A gateway whose cam1 a member has opened, and watches, on the device that the browser runs on."""

    gateway: Gateway
    flow: Flow

    @property
    def watch(self) -> str:
        return self.flow.path.split("/")[2]

    def speak(
        self, method: str, target: str, *headers: str, body: bytes = b"", version: str = "1.1"
    ) -> "Said":
        """One request as it stands there, from the browser's device; names in braces are filled in."""
        gateway = self.gateway
        length = [f"Content-Length: {len(body)}"] if body else []
        lines = [f"{method} {target} HTTP/{version}", *headers, *length, "Connection: close", "", ""]
        head = "\r\n".join(lines).format(
            address=gateway.address, port=gateway.port, other=gateway.port + 1, live=self.flow.path
        )
        connection = connection_from(BROWSER, (gateway.address, gateway.port))
        connection.connect()
        with connection.sock as sock:
            sock.sendall(head.encode() + body)
            answer = http.client.HTTPResponse(sock, method=method)
            answer.begin()
            data = answer.read1(PIECE_BYTES) if answer.length is None else answer.read()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        is_problem = fields["content-type"] == "application/problem+json" and method != "HEAD"
        return Said(answer.status, json.loads(data)["type"].rpartition("/")[2] if is_problem else "", fields)


class Said(NamedTuple):
    """What was answered."""

    status: int
    code: str
    headers: dict[str, str]

    @property
    def allows_other_origins(self) -> list[str]:
        return [name for name in self.headers if name.startswith(("access-control-", "timing-allow-"))]


@pytest.fixture(scope="module")
def house(make_shared_gateway: MakeGateway) -> House:
    # The first lines of this setting still belong to the table [vpn].
    gateway = make_shared_gateway(members=f'names = ["{NAME}"]\n{MEMBERS}', max_session="30m")
    gateway.start()
    house = House(gateway, gateway.flow(source=BROWSER, duration_s=1500))
    gateway.wait_served(house.flow.path.replace("stream.mp4", "index.m3u8"), source=BROWSER)
    return house


@pytest.fixture(scope="module")
def site(house: House) -> Iterator[Site]:
    with Site(house.gateway.address) as site:
        thread = threading.Thread(target=site.serve_forever, name="another site")
        thread.start()
        yield site
        site.shutdown()
        thread.join(LIMIT_S)


@pytest.fixture(scope="module")
def session(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    rules = ", ".join(f"MAP {name} {house.gateway.address}" for name in (NAME, EVIL, REBOUND))
    with chromium(tmp_path_factory.mktemp("chromium"), f"--host-resolver-rules={rules}") as session:
        yield session


@pytest.fixture
async def browser(session: str) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession() as http:
        yield Browser(http, session)


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_does_not_name_the_listener_gets_nothing(house: House, host: str) -> None:
    """CONTRACT 5: DNS rebinding."""
    status, headers = HOSTS[host]
    code = {421: "wrong-host", 400: "bad-request"}[status]
    assert house.speak("POST", TRANSITIONS, *headers, JSON, body=CLOSE)[:2] == (status, code)
    assert house.speak("GET", "{live}", *headers)[:2] == (status, code)
    assert house.speak("GET", "/nowhere", *headers)[:2] == (status, code)


def test_an_older_request_without_a_host_gets_nothing(house: House) -> None:
    assert house.speak("GET", "{live}", version="1.0")[:2] == (421, "wrong-host")


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_that_names_a_host_itself_gets_nothing(house: House, target: str) -> None:
    """RFC 9112 3.2.2: it would outrank `Host`."""
    for host in ("Host: {address}:{port}", "Host: evil.test"):
        assert house.speak("GET", target + "{live}", host)[:2] == (421, "wrong-host")
        assert house.speak("POST", target + TRANSITIONS, host, JSON, body=CLOSE)[:2] == (421, "wrong-host")
        assert house.speak("CONNECT", "{address}:{port}", host)[:2] == (421, "wrong-host")


@pytest.mark.parametrize("origin", ORIGINS)
def test_an_origin_that_is_not_ours_gets_nothing(house: House, origin: str) -> None:
    """CONTRACT 5, 8: before the path is looked at; and no answer lets another origin read it."""
    headers = ("Host: {address}:{port}", f"Origin: {origin}")
    wishes = "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"
    for said in (
        house.speak("POST", TRANSITIONS, *headers, JSON, body=CLOSE),
        house.speak("POST", TRANSITIONS, *headers, "Content-Type: text/plain", body=CLOSE),
        house.speak(
            "POST", TRANSITIONS, headers[0], "Origin: http://{address}:{port}", headers[1], JSON, body=CLOSE
        ),
        house.speak("GET", "{live}", *headers),
        house.speak("GET", "/nowhere", *headers),
        house.speak("OPTIONS", TRANSITIONS, *headers, *wishes),
        house.speak(
            "OPTIONS", TRANSITIONS, *headers, *wishes, "Access-Control-Request-Private-Network: true"
        ),
    ):
        assert said[:2] == (403, "cross-site")
        assert said.allows_other_origins == []


@pytest.mark.parametrize("name", ["{address}", NAME])
def test_our_own_page_is_let_in_and_lets_in_nobody_else(house: House, name: str) -> None:
    """What is refused above is refused for what differs from this."""
    headers = (f"Host: {name}:{{port}}", f"Origin: http://{name}:{{port}}")
    asked = house.speak("POST", TRANSITIONS, *headers, JSON, body=REQUEST)
    assert asked[:2] == (409, "not-permitted")
    seen = house.speak("GET", "{live}", *headers, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Dest: empty")
    assert seen.status == 200
    preflight = house.speak("OPTIONS", TRANSITIONS, *headers, "Access-Control-Request-Method: POST")
    assert preflight[:2] == (405, "method-not-allowed")
    for said in (asked, seen, preflight):
        assert said.allows_other_origins == []
        assert said.headers["cross-origin-resource-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in said.headers["content-security-policy"]
        assert (said.headers["referrer-policy"], said.headers["cache-control"]) == ("no-referrer", "no-store")


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_form_can_send_is_not_json(house: House, kind: str) -> None:
    """CONTRACT 5: also where the browser is so old, or the extension so bold, that it names no origin."""
    for body in (CLOSE, CLOSE + b"=", b"trigger=close"):
        said = house.speak("POST", TRANSITIONS, "Host: {address}:{port}", f"Content-Type: {kind}", body=body)
        assert said[:2] == (415, "not-json")
    joined = house.speak(
        "POST", "/api/v1/cameras/cam1/watches", "Host: {address}:{port}", f"Content-Type: {kind}"
    )
    assert joined[:2] == (415, "not-json")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_where_the_browser_says_that_another_site_embeds_it_nothing_is_sent(house: House, site: str) -> None:
    host, said = "Host: {address}:{port}", f"Sec-Fetch-Site: {site}"
    for path in ("{live}", "/", "/api/v1/cameras", "/nowhere"):
        refused = [house.speak("GET", path, host, said, f"Sec-Fetch-Dest: {each}") for each in EMBEDDINGS]
        assert {one[:2] for one in refused} == {(403, "cross-site")}
    linked = house.speak("GET", "/", host, said, "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate")
    assert linked.status == 200
    assert house.speak("POST", "/", host, said, "Sec-Fetch-Dest: document")[:2] == (403, "cross-site")


PAGES = [(EVIL, ""), ("", ""), (EVIL, NAME), (NAME, NAME)]
"""Where the page is, and by which name it reaches for the gateway; "" is the gateway's address. Browsers tell
a loopback address who embeds it (Sec-Fetch-Site), and a name that is reached without TLS nothing at all."""


@pytest.mark.parametrize("place", ["/", QUIET])
@pytest.mark.parametrize(("page", "name"), PAGES)
async def test_a_page_that_embeds_the_gateway_learns_nothing(
    house: House, site: Site, browser: Browser, page: str, name: str, place: str
) -> None:
    """By everything that a page can embed: the real watch is worth as little to it as one that is guessed.

    It is a watch of its own: responses beyond four of one watch take each other's place."""
    address, port = house.gateway.address, house.gateway.port
    await browser.open(f"http://{page or address}:{site.port}{place}")
    known = house.gateway.join(source=BROWSER)
    places = {
        "real": known["mp4"],
        "guessed": known["mp4"].replace(known["watch"], GUESSED),
        "playlist": known["hls"],
        "icon": "/console/icon.svg",
    }
    learned = await browser.run(EMBED, f"http://{name or address}:{port}", places, place == QUIET)
    expected = LEARNED if place == QUIET else LEARNED | {"sandbox": ""}
    assert learned["tries"] == dict.fromkeys(places, expected)
    assert {tuple(sizes) for sizes in learned["sizes"]} == {(0, 0, 0)}
    assert await _framed(browser) == {"chrome-error://chromewebdata/"}
    assert ("Sec-Fetch-Site" in site.asked[page or address]) is not bool(page)
    left = house.gateway.ask("DELETE", f"/api/v1/watches/{known['watch']}", source=BROWSER)
    assert left.status in (204, 404), "who is not read for ten seconds has left already (CONTRACT 5)"
    seen = house.gateway.follower_wait(
        lambda event: name_of(event) == "viewer_left" and event["data"]["watch"] == known["watch"],
        house.flow.session,
    )
    # What a quiet page was sent over plain HTTP, the browser threw away.
    assert seen["data"]["bytes"] == 0 or (name and place == QUIET), seen
    house.flow.viewer.wait_flow()


@pytest.mark.parametrize(("page", "name"), PAGES)
async def test_a_page_that_posts_changes_nothing(
    house: House, site: Site, browser: Browser, page: str, name: str
) -> None:
    """Forms of every encoding, with and without an origin to name; beacons; calls that need a preflight."""
    address, port = house.gateway.address, house.gateway.port
    await browser.open(f"http://{page or address}:{site.port}/")
    sent = await browser.run(POST, f"http://{name or address}:{port}", "cam1", house.watch)
    assert sent == SENT
    house.flow.viewer.wait_flow()


CLOSE_IT = """
const options = {method: "POST", headers: {"Content-Type": "application/json"}, body: '{"trigger": "close"}'};
return fetch(arguments[0], options).then((answer) => answer.status);
"""
READ_IT = """
return fetch(arguments[0]).then((answer) => answer.body.getReader().read()).then(({value}) => value.length);
"""


async def test_a_name_that_is_bound_anew_to_the_gateway_is_a_page_without_a_gateway(
    house: House, browser: Browser
) -> None:
    """DNS rebinding as the browser sees it: one origin with the gateway, and nothing behind it."""
    await browser.open(f"http://{REBOUND}:{house.gateway.port}/")
    assert "wrong-host" in await browser.run("return document.body.innerText")
    for path in ("/api/v1/cameras", house.flow.path, "/api/v1/events/stream"):
        assert await browser.run("return fetch(arguments[0]).then((r) => r.status)", path) == 421
    assert await browser.run(CLOSE_IT, TRANSITIONS) == 421


async def test_the_gateways_own_page_in_that_browser_reads_that_watch(house: House, browser: Browser) -> None:
    """What the other pages could not do was not impossible."""
    await browser.open(f"http://{NAME}:{house.gateway.port}/")
    assert await browser.run(READ_IT, house.flow.path) > 0


def test_after_all_that_the_session_is_as_its_maintainer_left_it(house: House) -> None:
    """S9, S18: nobody was logged as a viewer by a page, nothing was opened and nothing closed. The member's
    own visits are those that the tests made."""
    gateway, viewer = house.gateway, house.flow.viewer
    camera = gateway.get("/api/v1/cameras/cam1")
    assert (camera["state"], camera["substate"], camera["viewers"]) == ("streaming", "live", 1)
    assert camera["session"] == house.flow.session
    viewer.wait_flow()
    events = gateway.events()
    by_people = [event for event in events if event["actor"]["kind"] in ("member", "local", "bus")]
    names = [name_of(event) for event in by_people]
    assert (names[0], names.count("viewer_joined")) == ("request", 1 + 2 * len(PAGES)), told(by_people)
    assert set(names[1:]) == {"viewer_joined", "viewer_left"}, told(by_people)
    denied = {event["data"]["code"] for event in events if name_of(event) == "denied"}
    assert denied == {"wrong-host", "cross-site"}
    gateway.shut(house.flow.session)
    viewer.wait_end()
    log_is_whole(gateway)


async def _framed(browser: Browser) -> set[str]:
    """Where the frames of the page really are."""
    found = set()
    for frame in await browser.run("return [...document.querySelectorAll('iframe')]"):
        await browser.command("POST", "/frame", {"id": frame})
        found.add(await browser.run("return location.href"))
        await browser.command("POST", "/frame", {"id": None})
    return found

"""The description of the API is true: of every answer of a real gateway, and of whatever is sent to it."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.client import Answer
from tests.e2e.configuration import VIEWER
from tests.e2e.description import Description
from tests.e2e.gateway import Flow, Gateway

pytestmark = pytest.mark.slow

SEGMENT = "/live/{watch}/{number}.ts"
ENDLESS = ("mp4", "follow")
"""Answers without an end, which no generated case may wait for; their own tests read them."""
UNDER_FIRE_S = 100
UNDER_FIRE = """
request-timeout = 10
continue-on-failure = true
[generation]
deterministic = true
database = "none"
max-examples = 5
[phases.stateful]
max-steps = 6
[dictionaries.cameras]
values = ["cam1", "cam2"]
[dictionaries.files]
values = ["console.js", "console.css"]
[parameters]
"path.camera" = { dictionary = "cameras", probability = 0.7 }
"query.camera" = { dictionary = "cameras", probability = 0.7 }
"path.file" = { dictionary = "files", probability = 0.7 }
# A body can be well formed and still name a purpose or a session that the site does not have, a version that
# the camera does not stand at, or come under a key that another one had.
[[operations]]
include-operation-id = "transition"
checks.positive_data_acceptance.expected-statuses = ["2xx", "403", "404", "409", "412", "422", "429"]
# A time can be well formed and in the past, and a window can be for a camera that is not there.
[[operations]]
include-operation-id = ["windows", "addWindow", "shortenWindow"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "403", "404", "409", "422", "429"]
# 503 is what it says of a dependency that is not well.
[[operations]]
include-operation-id = "ready"
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", "503"]
"""


@pytest.fixture
def description(gateway: Gateway) -> Description:
    return Description(gateway.get("/api/v1/openapi.json"))


def test_every_answer_of_a_gateway_at_work_is_as_its_description_says(
    gateway: Gateway, description: Description
) -> None:
    """CONTRACT 5: shut, asked for, open, watched, closed and refused; no member more and none less."""

    def ask(operation: str, query: str = "", body: dict[str, object] | None = None, **named: str) -> Answer:
        method, path, _ = description.operations[operation]
        answer = gateway.ask(method, path.format(camera="cam1", **named) + query, body)
        description.judge(operation, answer)
        return answer

    def read_everything() -> None:
        for operation, (method, path, _) in description.operations.items():
            if method == "GET" and operation not in ENDLESS and path.count("{") == path.count("{camera}"):
                ask(operation)

    _change_windows(gateway, ask)
    read_everything()
    refused = ask("transition", body={"trigger": "extend", "reason": "more", "duration_s": 1})
    assert refused.code == "not-permitted"
    ask("transition", body={"trigger": "close"})
    flow = gateway.flow(duration_s=50)
    read_everything()
    watch = _watch_of(flow)
    gateway.wait_served(f"/live/{watch}/index.m3u8")
    number = ask("playlist", watch=watch).body.split(".ts")[0].rpartition("\n")[2]
    ask("segment", watch=watch, number=number)
    ask("transition", body={"trigger": "extend", "reason": "more", "duration_s": 1})
    joined = ask("join", body={}).body["watch"]
    ask("leave", watch=joined)
    ask("leave", watch=joined)
    ask("events", "?details=true&limit=10000")
    ask("transition", body={"trigger": "close", "reason": "done"})
    gateway.wait("closed", flow.session)
    read_everything()
    ask("session", session=flow.session)
    ask("session", session="nobody's")
    ask("consoleFile", file="console.js")
    asked = {operation for operation, _ in description.judged}
    assert set(description.operations) - asked == set(ENDLESS)


def _change_windows(gateway: Gateway, ask: Callable[..., Answer]) -> None:
    start = datetime.now(UTC) + timedelta(days=2)
    times = {
        "start": start.isoformat(timespec="seconds"),
        "end": (start + timedelta(hours=2)).isoformat(timespec="seconds"),
    }
    window = ask("addWindow", body={"cameras": ["cam1"], "reason": "aim", **times}).body["id"]
    ask("approveWindow", window=window, body={})
    ask(
        "shortenWindow",
        window=window,
        body={"end": (start + timedelta(hours=1)).isoformat(timespec="seconds")},
    )
    ask("windows", "?next=3")
    ask("cancelWindow", window=window, body={})
    ask("cancelWindow", window="nobodys", body={})


def _watch_of(flow: Flow) -> str:
    return flow.path.split("/")[2]


def test_the_lines_of_the_log_are_the_items_of_its_pages(gateway: Gateway, description: Description) -> None:
    """CONTRACT 5: JSON, or NDJSON by `Accept`; the next page is named in `Link`."""
    page = gateway.ask("GET", "/api/v1/events?limit=1")
    lines = gateway.ask("GET", "/api/v1/events?limit=1", headers={"Accept": "application/x-ndjson"})
    description.judge("events", lines)
    items = [json.loads(line) for line in lines.body.splitlines()]
    assert items == page.body["items"]
    for item in items:
        description.fits(description.line("events"), item)
    assert lines.headers["link"] == '</api/v1/events?limit=1&after=1>; rel="next"'
    assert gateway.get("/api/v1/events?limit=1&after=1")["items"][0]["seq"] == 2


def test_every_list_is_read_to_its_end_page_by_page(gateway: Gateway) -> None:
    """CONTRACT 8: `next` is the `after` to ask with, null at the end."""
    gateway.shut(gateway.open())
    gateway.shut(gateway.open())
    for path in ("/api/v1/cameras", "/api/v1/sessions", "/api/v1/cameras/cam1/transitions", "/api/v1/events"):
        whole = gateway.get(f"{path}?limit=10000")
        assert whole["next"] is None
        size = max(1, len(whole["items"]) // 3)
        page = gateway.get(f"{path}?limit={size}")
        found = list(page["items"])
        while page["next"] is not None:
            page = gateway.get(f"{path}?limit={size}&after={page['next']}")
            found += page["items"]
        assert len(found) > 1
        assert found[: len(whole["items"])] == whole["items"]


def test_every_get_answers_head_with_the_same_headers_and_no_body(
    gateway: Gateway, description: Description
) -> None:
    for method, path, _ in description.operations.values():
        if method != "GET" or "{" in path.replace("{camera}", ""):
            continue
        path = path.format(camera="cam1")
        head = gateway.ask("HEAD", path, source=VIEWER)
        assert not head.body
        if path.endswith("/stream"):
            continue
        answer = gateway.ask("GET", path, source=VIEWER)
        assert head.status == answer.status, path
        assert head.headers["content-type"] == answer.headers["content-type"], path
        assert head.headers.keys() == answer.headers.keys(), path


@pytest.mark.timeout(UNDER_FIRE_S + 60)
def test_whatever_is_sent_to_it_the_description_holds(gateway: Gateway, tmp_path: Path) -> None:
    """Well formed, malformed, in any order, while a camera is open: every check of schemathesis holds."""
    gateway.open(duration_s=55)
    (tmp_path / "under_fire.toml").write_text(UNDER_FIRE)
    script = Path(sys.executable).with_name("schemathesis")
    command = [
        str(script),
        f"--config-file={tmp_path / 'under_fire.toml'}",
        "run",
        "--checks=all",
        "--no-color",
    ]
    command += [f"--exclude-operation-id={operation}" for operation in ENDLESS]
    command += [f"http://{gateway.address}:{gateway.port}/api/v1/openapi.json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=UNDER_FIRE_S, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
    assert "Tested: 23" in ended.stdout, ended.stdout[-2000:]
    assert gateway.daemon.running

"""The tailnet policy that we ship is one, and grants what it says."""

import json
import re
from pathlib import Path
from typing import Any

from orchestrator.edges.vpn.tailscale_identity import granted
from orchestrator.settings import TAILSCALE_CAPABILITY

POLICY = Path(__file__).parents[3] / "ops" / "tailnet-policy.hujson"
# Strings are kept; comments, and commas before a closing bracket, go: that is all HuJSON adds to JSON.
_TOKENS = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/|,(?=(?:\s|//[^\n]*)*[\]}])', re.DOTALL)


def policy() -> dict[str, Any]:
    value = json.loads(_TOKENS.sub(lambda found: found[1] or "", POLICY.read_text()))
    assert isinstance(value, dict)
    return value


def test_every_source_and_target_of_a_grant_is_defined() -> None:
    written = policy()
    defined = {*written["groups"], *written["tagOwners"]}
    for grant in written["grants"]:
        assert {*grant["src"], *grant["dst"]} <= defined
        assert "ip" in grant or "app" in grant


def test_each_value_of_the_capability_grants_what_it_says() -> None:
    values = {
        source: value
        for grant in policy()["grants"]
        for source in grant["src"]
        for value in grant.get("app", {}).get(TAILSCALE_CAPABILITY, [])
    }
    given = {source: granted([value]) for source, value in values.items()}
    cam1 = frozenset({"cam1"})
    assert given == {
        "group:parking-maintainers": (frozenset({"maintainer"}), cam1),
        "group:parking-viewers": (frozenset({"viewer", "approver", "reviewer"}), cam1),
        "tag:prometheus": (frozenset({"monitor"}), cam1),
    }


def test_nothing_in_it_allows_funnel() -> None:
    assert "nodeAttrs" not in policy()

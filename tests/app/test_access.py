"""Who may do what: the roles of CONTRACT 4 and 8, and what nobody in person may do (S16, S18)."""

from typing import get_args

import pytest

from orchestrator.app.access import admit_act
from orchestrator.app.requests import Requests
from orchestrator.core.policy import Member, Role
from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.ports import Act, Caller, TransitionWish

PEOPLE: set[Role] = {"viewer", "maintainer", "approver", "reviewer"}
ROLES: dict[Act, set[Role]] = {
    "see": PEOPLE,
    "close": PEOPLE,
    "watch": {"viewer", "maintainer"},
    "request": {"maintainer"},
    "extend": {"maintainer"},
    "acknowledge": {"approver"},
    "propose": {"maintainer", "approver"},
    "approve": {"approver"},
    "narrow": {"maintainer", "approver"},
    "log": {"maintainer", "reviewer"},
    "reveal": {"reviewer"},
}


def caller(*roles: Role) -> Caller:
    return Caller(Member("m-1", "Ada", frozenset(roles), None, {"key": "d-1"}), "d-1", "laptop", "127.0.0.2")


@pytest.mark.parametrize("act", get_args(Act))
@pytest.mark.parametrize("role", get_args(Role))
def test_each_role_may_do_what_the_contract_says_and_nothing_else(act: Act, role: Role) -> None:
    """S16: only an approver takes a lock away. S18: only a maintainer opens."""
    if role in ROLES[act]:
        admit_act(caller(role), act)
        return
    with pytest.raises(Refusal) as refused:
        admit_act(caller(role), act)
    assert (refused.value.code, set(refused.value.members["roles"])) == ("role-required", ROLES[act])


@pytest.mark.parametrize("act", get_args(Act))
def test_the_local_socket_sees_and_closes_and_does_nothing_else(act: Act) -> None:
    """S18, CONTRACT 5."""
    if act in ("see", "close"):
        admit_act(None, act)
        return
    with pytest.raises(Refusal) as refused:
        admit_act(None, act)
    assert refused.value.code == "vpn-only"


@pytest.mark.parametrize("trigger", ["request", "extend", "acknowledge"])
async def test_what_opens_is_asked_for_by_a_member_alone(trigger: str) -> None:
    """S18: whoever let nobody through to here, nothing of a camera is touched."""
    nothing = object.__new__(Requests)
    with pytest.raises(Refusal) as refused:
        await nothing.carry_out(None, None, TransitionWish(trigger, "aim", 60))  # type: ignore[arg-type]
    assert refused.value.code == "vpn-only"

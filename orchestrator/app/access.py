"""Who may do what (CONTRACT 4 and 8 "Who may read"): every refusal by role is made here."""

from __future__ import annotations

from orchestrator.core.policy import Member, Role
from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.ports import Act, Caller

PEOPLE: frozenset[Role] = frozenset({"viewer", "maintainer", "approver", "reviewer"})
MAY: dict[str, frozenset[Role]] = {
    "see": PEOPLE,
    "log": frozenset({"reviewer", "maintainer"}),
    "reveal": frozenset({"reviewer"}),
    "watch": frozenset({"viewer", "maintainer"}),
    "request": frozenset({"maintainer"}),
    "extend": frozenset({"maintainer"}),
    "close": PEOPLE,
    "acknowledge": frozenset({"approver"}),
    "propose": frozenset({"maintainer", "approver"}),
    "approve": frozenset({"approver"}),
    "narrow": frozenset({"maintainer", "approver"}),
}
WITHOUT_A_PERSON = frozenset({"see", "close"})
"""What the local socket may do (CONTRACT 5): see states and close."""


def admit_act(caller: Caller | None, act: Act) -> None:
    """Refusal unless this caller's roles allow `act`; the local socket is nobody's."""
    if caller is None:
        if act not in WITHOUT_A_PERSON:
            raise Refusal("vpn-only", "the local socket shows states and closes; use the address on the VPN")
        return
    roles = MAY[act]
    if not roles & caller.member.roles:
        detail = f"needs one of the roles {', '.join(sorted(roles))}; you have {_roles(caller.member)}"
        raise Refusal("role-required", detail, members={"roles": sorted(roles)})


def may_watch(member: Member | None, device: str, camera: str) -> bool:
    """Whether the picture of this camera may go to this device at this moment (S9)."""
    return (
        member is not None
        and device in member.devices.values()
        and bool(member.roles & MAY["watch"])
        and member.may_see(camera)
    )


def _roles(member: Member) -> str:
    return ", ".join(sorted(member.roles)) or "none"


def visible(camera: str, known: bool, caller: Caller | None) -> None:
    """Refusal `unknown-camera` for a camera that is not there, or not this caller's to see (404)."""
    if not known or (caller is not None and not caller.member.may_see(camera)):
        raise Refusal("unknown-camera", f"there is no camera {camera} for you")

"""Before an opening or an acknowledgement is taken, who could get in is looked at anew (S7)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.app.repeats import Repeats
from orchestrator.app.requests import Requests
from orchestrator.core.policy import Member
from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.ports import Caller, TransitionWish
from tests.core.scene import POLICY, START, good_facts

FACTS = good_facts()
MEMBER = Member("m-1", "Ada", frozenset({"maintainer", "approver"}), None, {"key": "d-1"})
CALLER = Caller(MEMBER, "d-1", "laptop", "127.0.0.2")


class Order:
    """What was done, in order: the camera's lane refuses whatever it is asked."""

    camera = "cam1"

    def __init__(self) -> None:
        self.done: list[str] = []

    def looks(self) -> None:
        self.done.append("looked")

    def expect(self, versions: frozenset[int] | None) -> None:
        """Any version will do."""

    def facts(self) -> Any:
        return FACTS

    async def ask(self, command: object, versions: frozenset[int] | None) -> list[Any]:
        self.done.append(type(command).__name__)
        raise Refusal("closed-meanwhile", "the lane takes nothing here")


@pytest.mark.parametrize(("trigger", "command"), [("request", "Request"), ("acknowledge", "Acknowledge")])
async def test_the_look_comes_before_the_camera_is_asked(trigger: str, command: str) -> None:
    order = Order()
    board = SimpleNamespace(policy=POLICY, config=FACTS.config)
    store: Any = None
    requests = Requests(
        SimpleNamespace(board=board),  # type: ignore[arg-type]
        store,
        Repeats(store, lambda: START),
        look_around=order.looks,
        new_id=lambda: "s-1",
        now=lambda: START,
    )
    with pytest.raises(Refusal, match="takes nothing here"):
        await requests.carry_out(
            SimpleNamespace(actor=order),  # type: ignore[arg-type]
            CALLER,
            TransitionWish(trigger, "aim"),
        )
    assert order.done == ["looked", command]

"""The daemon as it is, but a message on `parking/test/<what>` breaks the broker's link in that way, once.

`raise`: the callback raises · `kill`: the thread dies · `stall`: it stands still for longer than all limits.
"""

import sys
import time

from orchestrator.app import lane_facts
from orchestrator.edges.lane_bus import Heard
from orchestrator.edges.lane_client import Client

STALLED_S = 20.0


class ThreadKilled(BaseException):
    """What nobody catches."""


def main() -> int:
    from orchestrator.cli import main as volet

    heard, topics_of, turn = lane_facts.LaneFacts.heard, lane_facts.topics_of, Client.turn
    order: list[str] = []

    def obeying(self: lane_facts.LaneFacts, message: Heard) -> None:
        if not message.topic.startswith("parking/test/"):
            return heard(self, message)
        if message.topic.endswith("raise"):
            raise RuntimeError
        order.append(message.topic.rpartition("/")[2])
        return None

    def breaking(self: Client, *arguments: object) -> None:
        turn(self, *arguments)  # type: ignore[arg-type]
        if not order:
            return
        what = order.pop()
        if what == "kill":
            raise ThreadKilled
        time.sleep(STALLED_S)

    lane_facts.LaneFacts.heard = obeying  # type: ignore[method-assign]
    Client.turn = breaking  # type: ignore[assignment, method-assign]
    more = tuple(f"parking/test/{what}" for what in ("raise", "kill", "stall"))
    lane_facts.topics_of = lambda settings: (*topics_of(settings), *more)
    return volet()


if __name__ == "__main__":
    sys.exit(main())

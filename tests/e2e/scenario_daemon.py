"""The daemon as it is, with a clock that a file sets off, a hand that plants listeners, and spans that no key
shortens: how long an overload is borne (8 s for 30), and the first cool-down after a storm (a tenth).

    python -m tests.e2e.scenario_daemon FILE ARGUMENT…
"""

import sys
import time
from pathlib import Path

from tests.e2e import planting_daemon
from tests.e2e.off_clock import Setting

TENTH_US = 3_000_000
OVERLOAD_US = 8_000_000


def main() -> int:
    from orchestrator.core import backoff, checks
    from orchestrator.edges import clock

    setting = Setting(Path(sys.argv.pop(1)))
    time.time_ns = setting.wall_ns
    time.time = lambda: setting.wall_ns() / 1_000_000_000
    clock.synchronised = lambda: bool(setting.said().get("synchronised", True))
    checks.HOST_PATIENCE_US, backoff.COOL_DOWN_FIRST_US = OVERLOAD_US, TENTH_US
    return planting_daemon.main()


if __name__ == "__main__":
    sys.exit(main())

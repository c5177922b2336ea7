"""The daemon as it is, but SIGUSR1 blocks its loop for five seconds; `--keep-queues` takes the purge out."""

import signal
import sys
import time

BLOCKED_S = 5.0


def _block(number: int, frame: object) -> None:
    sys.stdout.write("the loop is blocked\n")
    sys.stdout.flush()
    time.sleep(BLOCKED_S)
    sys.stdout.write("the loop goes on\n")
    sys.stdout.flush()


def _keep_queues() -> None:
    import os

    from orchestrator.runtime import gate

    def only_close(descriptor: int) -> int:
        os.close(descriptor)
        return 0

    gate.purge = only_close


def main() -> int:
    from orchestrator.cli import main as volet

    if "--keep-queues" in sys.argv:
        sys.argv.remove("--keep-queues")
        _keep_queues()
    signal.signal(signal.SIGUSR1, _block)
    return volet()


if __name__ == "__main__":
    sys.exit(main())

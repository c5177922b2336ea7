"""The daemon as it is, but SIGUSR1 blocks its loop for five seconds, or for two with `--briefly`;
`--keep-queues` takes the purge out."""

import signal
import sys
import time

BLOCKED_S, BRIEFLY_S = 5.0, 2.0
_blocked_s = BLOCKED_S


def _block(number: int, frame: object) -> None:
    sys.stdout.write("the loop is blocked\n")
    sys.stdout.flush()
    time.sleep(_blocked_s)
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

    global _blocked_s
    if "--briefly" in sys.argv:
        sys.argv.remove("--briefly")
        _blocked_s = BRIEFLY_S
    if "--keep-queues" in sys.argv:
        sys.argv.remove("--keep-queues")
        _keep_queues()
    signal.signal(signal.SIGUSR1, _block)
    return volet()


if __name__ == "__main__":
    sys.exit(main())

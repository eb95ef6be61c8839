"""Keeps one promise: when the server ends, however it ends, nothing that it started lives on.

The supervisor is the only child of `make up`. It starts the server, waits, and then kills what is left. Should the
supervisor itself be killed, the kernel tells the server (PR_SET_PDEATHSIG), which then ends in order.
"""

import ctypes
import os
import signal
import subprocess
import sys
from types import FrameType

from local_aws.home import Home

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_GRACE_SECONDS = 20


def _end_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> None:
    home = Home.from_environment()
    # Between fork and exec, so that there is no moment at which the server could outlive its supervisor.
    command = [sys.executable, "-m", "local_aws.server", *sys.argv[1:]]
    server = subprocess.Popen(command, preexec_fn=_end_with_parent)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        server.send_signal(number)
        signal.signal(signal.SIGALRM, lambda *_: server.kill())
        signal.alarm(_GRACE_SECONDS)

    signal.signal(signal.SIGTERM, pass_on)
    status = server.wait()
    home.kill_processes()
    sys.exit(status if status >= 0 else os.EX_SOFTWARE)


if __name__ == "__main__":
    main()

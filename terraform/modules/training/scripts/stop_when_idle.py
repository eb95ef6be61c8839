"""Stop this notebook instance once nothing has run in it for long enough. Started every five minutes as root.

    stop_when_idle.py NAME REGION IDLE_MINUTES [JUPYTER_URL]

A kernel that computes, or has just been started, is work; so is a terminal that lately printed something. An open
browser is not. Only the standard library, and nothing newer than Python 3.9: it runs under the system's own Python.
"""

import json
import ssl
import subprocess
import sys
import urllib.request
from datetime import datetime, timedelta, timezone
from typing import Any


def ask(jupyter: str, path: str) -> Any:
    """What Jupyter answers to GET /api/<path>. Raises OSError."""
    # Jupyter's certificate is its own, and the way to it never leaves this host.
    unverified = ssl._create_unverified_context()  # noqa: S323
    with urllib.request.urlopen(f"{jupyter}/api/{path}", timeout=30, context=unverified) as answer:  # noqa: S310
        return json.load(answer)


def last_work(jupyter: str, now: datetime) -> datetime:
    """When something last ran: `now`, while a kernel is busy. Raises OSError."""
    kernels = ask(jupyter, "kernels")
    if any(kernel["execution_state"] in ("busy", "starting", "restarting") for kernel in kernels):
        return now
    # Jupyter's own start counts as work, so a notebook that was just started, or not opened yet, has its full time.
    times = [ask(jupyter, "status")["started"]]
    times += [item["last_activity"] for item in kernels + ask(jupyter, "terminals")]
    return max(datetime.fromisoformat(time.replace("Z", "+00:00")) for time in times)


def main() -> None:
    name, region, idle_minutes, *rest = sys.argv[1:]
    jupyter = rest[0] if rest else "https://localhost:8443"
    now = datetime.now(timezone.utc)  # noqa: UP017
    idle = now - last_work(jupyter, now)
    print(f"Idle for {int(idle.total_seconds() // 60)} of {idle_minutes} minutes.", flush=True)
    if idle >= timedelta(minutes=int(idle_minutes)):
        stop = ["aws", "sagemaker", "stop-notebook-instance", "--notebook-instance-name", name, "--region", region]
        subprocess.run(stop, check=True)


if __name__ == "__main__":
    main()

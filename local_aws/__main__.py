"""The stand-in from the shell: python -m local_aws {up,down,env,leftovers,calls,fault}."""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time

import psutil
import urllib3

from local_aws.environment import CALLS_PATH, FAULTS, FAULTS_PATH, client_environment, without_aws
from local_aws.home import HOME_VARIABLE, OWNER_VARIABLE, REPOSITORY, Home, StandInError

_START_SECONDS = 60
_STOP_SECONDS = 25
_LAST_PORT = 65535


def up(home: Home, port: str) -> str:
    """Start the stand-in and wait until it answers; leave a running one as it is. Port 0 is any free one."""
    if not port.isdecimal() or int(port) > _LAST_PORT:
        raise StandInError(f"PORT is a number from 1 to {_LAST_PORT}, not {port!r}.")
    if record := home.read_record():
        elsewhere = port not in ("0", record["url"].rpartition(":")[2])
        hint = f" It moves by `make down`, with which all that is in it goes, and `make up PORT={port}`."
        return f"The stand-in is already up at {record['url']}.{hint if elsewhere else ''}"
    home.kill_processes()
    home.create()
    with home.log.open("wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "local_aws.supervisor", "--port", port],
            cwd=REPOSITORY,
            env={**without_aws(os.environ), HOME_VARIABLE: str(home.path), OWNER_VARIABLE: str(home.path)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in this terminal is not meant for it
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if supervisor.poll() is not None:
                said = home.log.read_text().strip().splitlines()
                raise StandInError(said[-1] if said else "The stand-in was killed while it started.")
            if record := home.read_record():
                return f"The stand-in is up at {record['url']} (log: {home.log})."
            time.sleep(0.1)
        raise StandInError(f"The stand-in did not start within {_START_SECONDS} s: read {home.log}.")
    except BaseException:
        supervisor.terminate()
        supervisor.wait()
        home.kill_processes()
        raise


def down(home: Home) -> str:
    """Stop the stand-in and delete all that was in it. Always works: what does not stop by itself is killed."""
    record = home.read_record()
    if record:
        supervisor = psutil.Process(record["supervisor_pid"])
        supervisor.terminate()
        psutil.wait_procs([supervisor], timeout=_STOP_SECONDS)
    home.kill_processes()
    home.remove()
    return "The stand-in is down, and all that was in it is gone." if record else "The stand-in was not up."


def require_up(home: Home) -> str:
    record = home.read_record()
    if record is None:
        raise StandInError("The stand-in is not up: run `make up` first.")
    return str(record["url"])


def shell_environment(home: Home) -> str:
    """Lines for eval: point any AWS client at the stand-in and hide the user's own profiles. Raises StandInError."""
    exports = [f"export {key}={shlex.quote(value)}" for key, value in client_environment(require_up(home)).items()]
    unsets = [f"unset {name}" for name in sorted(os.environ.keys() - without_aws(os.environ).keys())]
    return "\n".join([*unsets, *exports])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local_aws", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "env", "leftovers", "calls", "fault"])
    parser.add_argument("fault", nargs="?", help="what the next deployment of an endpoint is to meet")
    parser.add_argument("--port", default="0", help="port to listen on (default: any free one)")
    arguments = parser.parse_args()
    home = Home.from_environment()
    try:
        match arguments.command:
            case "up":
                with home.lock():
                    print(up(home, arguments.port))
            case "down":
                with home.lock():
                    print(down(home))
            case "env":
                try:
                    print(shell_environment(home))
                except StandInError:
                    print("false")  # what is evaluated fails, too, before a command meets the user's own account
                    raise
            case "leftovers":
                from local_aws.leftovers import leftovers  # here, since boto3 takes most of a second to import

                print(json.dumps(leftovers(require_up(home)), indent=2))
            case "fault":
                if arguments.fault not in FAULTS:
                    raise StandInError(f"Name a fault: {', '.join(FAULTS)}.")
                urllib3.request("POST", f"{require_up(home)}{FAULTS_PATH}{arguments.fault}")
                print(f"The next deployment of an endpoint: {FAULTS[arguments.fault]}.")
            case "calls":
                print(urllib3.request("GET", f"{require_up(home)}{CALLS_PATH}").data.decode(), end="")
    except StandInError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The stand-in cannot keep its files in {home.path}: {error.strerror}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

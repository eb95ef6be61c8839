"""Child processes of the stand-in: each in a group of its own, its output read line by line."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from local_aws.home import OWNER_VARIABLE, REPOSITORY

LineReader = Callable[[str], None]


def base_environment(home: Path) -> dict[str, str]:
    """What every child gets: this Python's programs, a home of its own, and the mark that `make down` looks for."""
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        OWNER_VARIABLE: os.environ[OWNER_VARIABLE],
    }


class Child:
    """A running process. Its stdout and stderr come, as one stream, to `on_line`."""

    def __init__(
        self, arguments: list[str], environment: dict[str, str], on_line: LineReader, directory: Path = REPOSITORY
    ) -> None:
        self._process = subprocess.Popen(
            arguments,
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, so that its children end with it
        )
        self._reader = threading.Thread(target=self._read, args=(on_line,), daemon=True)
        self._reader.start()

    def _read(self, on_line: LineReader) -> None:
        assert self._process.stdout is not None  # noqa: S101
        for line in self._process.stdout:
            on_line(line.decode("utf-8", "replace").rstrip("\r\n"))

    @property
    def exit_status(self) -> int | None:
        return self._process.poll()

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """The exit status once all output was read, or None when the time is up."""
        try:
            status = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return None
        self._signal_group(signal.SIGKILL)  # whatever it left behind would hold the pipe open
        self._reader.join()
        return status

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM, then SIGKILL for the whole group."""
        self._signal_group(signal.SIGTERM)
        if self.wait(grace_seconds) is None:
            self._signal_group(signal.SIGKILL)
            self.wait()

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

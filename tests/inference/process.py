"""A real serving process, as SageMaker starts it: started, pinged, invoked, terminated."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.conftest import wait_for

ROOT = Path(__file__).parents[2]
SECONDS_TO_START = 60


@dataclass
class Server:
    """A running serving process. Its output goes to files, since a pipe that nobody reads would stop it."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """One request on a connection of its own: the status, and the body as JSON where it is JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(text) if is_json else text

    def ping(self) -> int | None:
        """The status of /ping; None when nobody listens, or no longer."""
        try:
            return self.request("GET", "/ping")[0]
        except ConnectionError:
            return None

    def wait_until_ready(self) -> None:
        wait_for(lambda: self.ping() == 200 or self.process.poll() is not None, SECONDS_TO_START)
        assert self.process.poll() is None, self.errors

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def terminate(self) -> int:
        """Send SIGTERM, await the end and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    @property
    def resident_bytes(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    @property
    def peak_resident_bytes(self) -> int:
        """The most that it ever held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])

    @property
    def cpu_seconds(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "stdout").read_text().splitlines()]

    @property
    def errors(self) -> str:
        return (self.folder / "stderr").read_text()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    base_dir: Path, environment: Mapping[str, str] | None = None, constants: Mapping[str, float] | None = None
) -> Iterator[Server]:
    """Serve `base_dir`/model; `constants`, such as "serve.BODY_TIMEOUT_SECONDS", are what a test cannot wait for."""
    port = free_port()
    changes = "".join(f"{name} = {value}; " for name, value in (constants or {}).items())
    with (base_dir / "stdout").open("wb") as output, (base_dir / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", f"from inference import connections, serve; {changes}serve.main()"],
            cwd=ROOT,
            env={
                **os.environ,
                "SAGEMAKER_BASE_DIR": str(base_dir),
                "SAGEMAKER_BIND_TO_PORT": str(port),
                **(environment or {}),
            },
            stdout=output,
            stderr=errors,
        )
    try:
        yield Server(process, port, base_dir)
    finally:
        process.kill()
        process.wait()

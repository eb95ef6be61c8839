"""The servers that are compared: how each is started, when it is ready, and what it uses of the machine."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
TORCHSERVE_PYTHON = REPOSITORY / ".venv-torchserve" / "bin" / "python"
SECONDS_TO_START = 120
SECONDS_TO_ANSWER = 60
POLL_SECONDS = 0.01


class ServerError(Exception):
    """A server did not do its part. The message is one sentence, and names its log."""


@dataclass(frozen=True)
class Contender:
    """A way to serve a folder shaped like /opt/ml."""

    command: tuple[str, ...]
    base_dir: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Memory:
    """Of a process tree. `pss_bytes` counts a page that processes share once, `rss_bytes` once for each of them."""

    pss_bytes: int
    rss_bytes: int


@dataclass(frozen=True)
class Ready:
    """Seconds from the start of the process to the first 200 of /ping, and to the first answered prediction."""

    ping_seconds: float
    answer_seconds: float


def ours(base_dir: Path) -> Contender:
    """The serving process of this project's image."""
    return Contender((sys.executable, "-m", "inference.serve"), base_dir)


def seed_under_our_server(base_dir: Path) -> Contender:
    """The seed's handlers in the HTTP server that ours uses."""
    return Contender((sys.executable, "-m", "tests.benchmarks.serving.seed_app"), base_dir)


def torchserve(base_dir: Path, run_folder: Path, workers: int) -> Contender:
    """TorchServe as AWS's PyTorch container starts it. `run_folder` must be short: sockets are made in it."""
    return Contender(
        (str(TORCHSERVE_PYTHON), str(HERE / "start_torchserve.py"), str(run_folder)),
        base_dir,
        {
            "PATH": os.pathsep.join([str(TORCHSERVE_PYTHON.parent), os.environ.get("PATH", "")]),
            "PYTHONPATH": "",
            "SAGEMAKER_MODEL_SERVER_WORKERS": str(workers),
        },
    )


@contextmanager
def short_folder() -> Iterator[Path]:
    """A temporary folder for `torchserve`."""
    folder = Path(tempfile.mkdtemp(prefix="ts-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Server:
    """A contender that runs. It and all its children end with the `serving` block."""

    def __init__(self, contender: Contender, log: Path) -> None:
        self.port = free_port()
        self.log = log
        environment = {
            **os.environ,
            "SAGEMAKER_BASE_DIR": str(contender.base_dir),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            **contender.environment,
        }
        self.started = time.perf_counter()
        with log.open("wb") as output:
            self.process = psutil.Popen(
                contender.command,
                cwd=REPOSITORY,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self.port}"

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request on a connection of its own: status and body. Raises OSError or http.client.HTTPException."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS_TO_ANSWER)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def predict(self, image: bytes) -> tuple[int, bytes]:
        """POST a JPEG."""
        return self.request("POST", "/invocations", image, {"Content-Type": "image/jpeg"})

    def wait_until_ready(self, image: bytes) -> Ready:
        """Wait until /ping says 200 and then until `image` is answered. Raises ServerError."""
        self._wait_for_200("GET", "/ping", None)
        ping_seconds = time.perf_counter() - self.started
        self._wait_for_200("POST", "/invocations", image)
        return Ready(ping_seconds, time.perf_counter() - self.started)

    def _wait_for_200(self, method: str, path: str, body: bytes | None) -> None:
        while time.perf_counter() - self.started < SECONDS_TO_START:
            if self.process.poll() is not None:
                raise ServerError(
                    f"The server ended with status {self.process.returncode} at its start: see {self.log}."
                )
            try:
                if self.request(method, path, body, {"Content-Type": "image/jpeg"})[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass  # nobody listens yet
            time.sleep(POLL_SECONDS)
        raise ServerError(f"{method} {path} was not answered within {SECONDS_TO_START} seconds: see {self.log}.")

    def cpu_seconds(self) -> float:
        """What the whole tree has used so far."""
        found = [process.cpu_times() for process in self._tree()]
        return float(sum(times.user + times.system for times in found))

    def memory(self) -> Memory:
        """What the whole tree holds now."""
        found = [process.memory_full_info() for process in self._tree()]
        return Memory(sum(info.pss for info in found), sum(info.rss for info in found))

    def _tree(self) -> list[psutil.Process]:
        """By the session, not by parents: the process that starts TorchServe's Java ends at once."""
        tree = []
        for process in psutil.process_iter():
            with suppress(ProcessLookupError):  # it may end meanwhile
                if os.getsid(process.pid) == self.process.pid:
                    tree.append(process)
        return tree


@contextmanager
def serving(contender: Contender, log: Path) -> Iterator[Server]:
    """A started server, which ends with the block."""
    server = Server(contender, log)
    try:
        yield server
    finally:
        # TorchServe's Java and its workers are in the group too, and nothing of theirs is worth a slow end.
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""The process as SageMaker meets it: started, pinged, invoked, terminated."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inference.serve import MAX_BODY_BYTES

SECONDS_TO_START = 60
ROOT = Path(__file__).parents[2]


@dataclass
class Server:
    """A running `python -m inference.serve`."""

    process: subprocess.Popen[str]
    port: int

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(text) if is_json else text

    def wait_until_ready(self) -> set[int]:
        """Ping until 200, and return the statuses seen on the way."""
        seen: set[int] = set()
        deadline = time.monotonic() + SECONDS_TO_START
        while 200 not in seen and time.monotonic() < deadline and self.process.poll() is None:
            try:
                seen.add(self.request("GET", "/ping")[0])
            except ConnectionRefusedError:
                time.sleep(0.02)
        return seen


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(base_dir: Path, **environment: str) -> Iterator[Server]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "inference.serve"],
        cwd=ROOT,
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(base_dir), "SAGEMAKER_BIND_TO_PORT": str(port), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Server(process, port)
    finally:
        process.kill()
        process.communicate()


def test_a_whole_life(model_dir: Path, picture: Callable[..., bytes]) -> None:
    with serving(model_dir.parent) as server:
        assert server.wait_until_ready() <= {200, 503}
        assert server.request("GET", "/ping") == (
            200,
            {"status": "ready", "model": {"run_id": "run-1", "precision": "fp32"}, "why": "it is the only one"},
        )

        image, jpeg = picture("red", format="JPEG"), {"Content-Type": "image/jpeg"}
        options = {"X-Amzn-SageMaker-Custom-Attributes": "id=call-7;top_k=2;output=logits;trace=x"}
        status, found = server.request("POST", "/invocations", image, {**jpeg, **options})
        assert status == 200
        assert found["predictions"][0]["top"][0]["label"] == "red"
        assert len(found["predictions"][0]["top"]) == 2
        assert len(found["predictions"][0]["logits"]) == 4
        status, found = server.request("POST", "/invocations", image, {**jpeg, "Accept": "text/csv"})
        assert (status, found.split(",")[0]) == (200, "red")

        refusals = {
            "undecodable_image": (400, b"x", jpeg),
            "unsupported_content_type": (415, b"x", {"Content-Type": "text/plain"}),
            "not_acceptable": (406, image, {**jpeg, "Accept": "image/png"}),
            "bad_request": (400, image, {**jpeg, "X-Amzn-SageMaker-Custom-Attributes": "top_k=many"}),
            "body_too_large": (413, b"x" * (MAX_BODY_BYTES + 1), jpeg),
        }
        for code, (expected, body, headers) in refusals.items():
            status, found = server.request("POST", "/invocations", body, headers)
            assert (status, found["error"]["code"]) == (expected, code)
            assert set(found["error"]) == {"code", "message"}

        server.process.send_signal(signal.SIGTERM)
        output, errors = server.process.communicate(timeout=30)
    lines = [json.loads(line) for line in output.splitlines()]
    assert lines[0]["event"] == "ready"
    requests = [line for line in lines if line["event"] == "request"]
    assert requests[0]["id"] == "call-7"
    assert [line["status"] for line in requests] == [200, 200, 400, 415, 406, 400, 413]
    assert "Traceback" not in errors


@pytest.mark.parametrize("damage", ["wrong digest", "no model"])
def test_a_model_that_cannot_be_served_ends_the_process_with_a_sentence(model_dir: Path, damage: str) -> None:
    environment = {}
    if damage == "wrong digest":
        environment["MODEL_MANIFEST_SHA256"] = "0" * 64
    else:
        (model_dir / "model.json").unlink()
    with serving(model_dir.parent, **environment) as server:
        _, errors = server.process.communicate(timeout=SECONDS_TO_START)
        assert server.process.returncode == 1
    assert errors.startswith("The model cannot be served. ")
    assert errors.count("\n") == 1

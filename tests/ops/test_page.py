"""The proxy that signs for a browser: what it passes on, and whom it does not serve."""

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.credentials import Credentials

from local_aws.home import REPOSITORY
from ops.function_url import FunctionUrl
from ops.page import Proxy

Answer = tuple[int, dict[str, str], bytes]


class Function(BaseHTTPRequestHandler):
    """A function URL that keeps what it is asked."""

    asked: ClassVar[list[tuple[str, str, dict[str, str], bytes]]] = []  # method, path, headers, body

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append((self.command, self.path, dict(self.headers), body))
        self.send_response(429)
        self.send_header("Retry-After", "2")
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"error": {}}')

    do_GET = do_POST


@pytest.fixture
def asked() -> list[Any]:
    """What the function was asked in this test."""
    Function.asked.clear()
    return Function.asked


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    function = ThreadingHTTPServer(("127.0.0.1", 0), Function)
    url = f"http://127.0.0.1:{function.server_port}/below/"
    proxy = Proxy(0, FunctionUrl(url, Credentials("key", "secret", "token"), "eu-west-1"))
    for server in (function, proxy):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield proxy
    proxy.shutdown()
    function.shutdown()


def ask(proxy: Proxy, method: str = "GET", path: str = "/", body: Any = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.server_port, timeout=10)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    answer = response.status, dict(response.headers), response.read()
    connection.close()
    return answer


def test_a_question_is_signed_and_its_answer_comes_back_as_it_is(proxy: Proxy, asked: list[Any]) -> None:
    origin = f"http://{proxy.hosts[1]}"
    more = {"Cookie": "session=1", "Origin": origin, "Host": proxy.hosts[1], "Sec_Fetch_Site": "same-origin"}
    status, headers, body = ask(proxy, "POST", "/predict?top_k=3", b"\xff\xd8", Content_Type="image/jpeg", **more)
    assert (status, headers["Retry-After"], body) == (429, "2", b'{"error": {}}')
    ((method, path, sent, sent_body),) = asked
    assert (method, path, sent_body) == ("POST", "/below/predict?top_k=3", b"\xff\xd8")
    assert "/eu-west-1/lambda/aws4_request" in sent["Authorization"]
    assert sent["X-Amz-Security-Token"] == "token"
    assert sent["Content-Type"] == "image/jpeg"
    assert sent.keys().isdisjoint({"Cookie", "Origin", "Sec-Fetch-Site"})


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "somebodys.example"},
        {"Host": "127.0.0.1:1"},
        {"Host": ""},
        {"Origin": "https://somebodys.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_other_page_may_ask(proxy: Proxy, asked: list[Any], method: str, headers: dict[str, str]) -> None:
    status, _, body = ask(proxy, method, "/predict", b"x" if method == "POST" else None, **headers)
    assert (status, json.loads(body)["error"]["code"]) == (403, "foreign")
    assert asked == []


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/predict", {"Content_Length": "6291457"}, 413),
        ("/predict", {"Content_Length": "-1"}, 400),
        ("/predict", {"Content_Length": "many"}, 400),
        ("/predict", {"Transfer_Encoding": "chunked"}, 400),
        ("@somebodys.example/", {}, 400),  # would make a user's name of the function's address
    ],
)
def test_what_is_no_sound_request_goes_nowhere(
    proxy: Proxy, asked: list[Any], path: str, headers: dict[str, str], status: int
) -> None:
    answer, _, body = ask(proxy, "POST", path, b"", **headers)
    assert answer == status
    assert set(json.loads(body)["error"]) == {"code", "message"}
    assert asked == []


def test_a_function_out_of_reach_is_told_in_the_page_s_terms(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    monkeypatch.setattr(proxy, "function", FunctionUrl(url, Credentials("key", "secret"), "eu-west-1"))
    status, _, body = ask(proxy)
    error = json.loads(body)["error"]
    assert (status, error["code"]) == (502, "unreachable")
    assert error["message"].startswith("The function could not be asked: Could not connect")


@pytest.mark.parametrize("port", ["taken", "99999", "0x1F90", "-1"])
def test_a_port_that_is_not_to_be_had_is_named_with_the_remedy(proxy: Proxy, tmp_path: Path, port: str) -> None:
    port = str(proxy.server_port) if port == "taken" else port
    outputs = tmp_path / "outputs.json"
    outputs.write_text('{"function_url": {"value": "http://127.0.0.1:1/"}, "region": {"value": "eu-west-1"}}')
    command = [sys.executable, "-m", "ops.page", "--outputs", outputs, f"--port={port}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Port '{port}' is not to be had: choose another with PORT=<number>.\n"

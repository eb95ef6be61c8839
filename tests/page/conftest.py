"""The page in a real browser, before a server that answers as it is told."""

import io
import json
import runpy
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image

from local_aws.home import REPOSITORY

PAGE = runpy.run_path(str(REPOSITORY / "lambda_function" / "page.py"))  # as the function serves it, with its policy
AXE = REPOSITORY / "tests" / "page" / "node_modules" / "axe-core" / "axe.min.js"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# What an automatic browser on a machine without a display needs; and it asks nobody for updates.
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]

Answer = tuple[int, dict[str, str], bytes]


def answer(*shares: tuple[str, float], low_confidence: bool = False) -> Answer:
    body = {
        "predictions": [{"label": label, "probability": probability} for label, probability in shares],
        "low_confidence": low_confidence,
        "model": {"run_id": "run-1", "precision": "bf16"},
        "request_id": "request-1",
    }
    return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


def error(status: int, code: str, message: str = "In the server's words.", **headers: str) -> Answer:
    body = {"error": {"code": code, "message": message}, "request_id": "request-1"}
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode()


SURE = answer(
    ("n02085620-Chihuahua", 0.9231),
    ("n02087046-toy_terrier", 0.0412),
    ("005.Alaskan_malamute", 0.02),
    ("n02089078-black-and-tan_coonhound", 0.0062),
    ("drawn_cloud_puff", 0.0004),
)
UNSURE = answer(("005.Alaskan_malamute", 0.22), ("n02087046-toy_terrier", 0.18), low_confidence=True)


def picture(size: tuple[int, int] = (300, 200), kind: str = "JPEG", **settings: Any) -> dict[str, Any]:
    """A file as a user would choose it: left half red, right half blue."""
    image = Image.new("RGB", size, (200, 40, 40))
    image.paste((40, 40, 200), (size[0] // 2, 0, *size))
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    kind = kind.lower()
    return {"name": f"dog.{kind}", "mimeType": f"image/{kind}", "buffer": buffer.getvalue()}


class Server(ThreadingHTTPServer):
    """Serves the page, and answers questions with `answers`, one after the other, the last for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.reset()

    def reset(self) -> None:
        self.answers: list[Answer] = [SURE]
        self.asked: list[bytes] = []
        self.may_answer = threading.Event()
        self.may_answer.set()


class _Request(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer(200, PAGE["HEADERS"], PAGE["HTML"].encode())

    def do_POST(self) -> None:
        self.server.asked.append(self.rfile.read(int(self.headers["Content-Length"])))
        given = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        self.server.may_answer.wait(30)
        self._answer(*given)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="session")
def running_server() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture
def server(running_server: Server) -> Iterator[Server]:
    running_server.reset()
    yield running_server
    running_server.may_answer.set()


def launch(playwright: Any) -> Any:
    """A browser, or None where none is installed."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    return program and playwright.chromium.launch(executable_path=program, args=ARGUMENTS)


@pytest.fixture(scope="module")  # while it is there, this thread has an event loop, and other tests could not run one
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the page is not tried: playwright is not installed")
    with playwright.sync_playwright() as running:
        browser = launch(running)
        if browser is None:
            pytest.skip(f"the page is not tried: none of {', '.join(BROWSERS)} is installed")
        yield browser
        browser.close()


class Visit:
    """A page that is open in a browser, and what it complained of."""

    def __init__(self, browser: Any, url: str, **settings: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1100, "height": 760}, **settings})
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.requests: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)

    def choose(self, file: dict[str, Any] | None = None) -> None:
        self.page.set_input_files("#file", file or picture())

    def expect(self, text: str) -> None:
        """Wait until the heading of the answer is `text`."""
        self.page.locator("#result h2", has_text=text).wait_for(timeout=10_000)

    @property
    def said(self) -> str:
        """What a screen reader was told last."""
        return str(self.page.locator("[role=status]").text_content())

    def violations(self) -> list[str]:
        """What axe finds, a line each."""
        if not AXE.exists():
            pytest.skip("axe is not installed: `make test` does it")
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run().then((result) => result.violations)")
        return [
            f"{item['id']}: {node['html'][:90]} {node['failureSummary']}" for item in found for node in item["nodes"]
        ]


@pytest.fixture
def open_page(browser: Any, server: Server) -> Iterator[Any]:
    """Opens the page: settings are Playwright's, such as `viewport` or `color_scheme`."""
    visits: list[Visit] = []

    def open_it(**settings: Any) -> Visit:
        visits.append(Visit(browser, server.url, **settings))
        return visits[-1]

    yield open_it
    server.may_answer.set()
    for visit in visits:
        visit.context.close()

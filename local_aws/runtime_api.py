"""One Lambda execution environment: a function under the real awslambdaric, and the Runtime API that it polls."""

import json
import queue
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from local_aws.processes import Child, LineReader

INIT_SECONDS = 10  # Lambda's limit for the code outside the handler
_API = "/2018-06-01/runtime"


@dataclass
class Invocation:
    event: bytes
    function_arn: str
    timeout_seconds: float
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    deadline: float = 0.0  # seconds since the epoch, set when the function gets it
    payload: bytes = b""
    error: str | None = None  # "Unhandled" as in X-Amz-Function-Error
    finished: threading.Event = field(default_factory=threading.Event)
    _finishing: threading.Lock = field(default_factory=threading.Lock)

    def finish(self, payload: bytes, error: str | None = None) -> None:
        """The first end counts: an answer may come at the very moment at which its time is up."""
        with self._finishing:
            if not self.finished.is_set():
                self.payload, self.error = payload, error
                self.finished.set()

    def fail(self, error_type: str, message: str) -> None:
        body = {"errorType": error_type, "errorMessage": f"RequestId: {self.request_id} Error: {message}"}
        self.finish(json.dumps(body).encode(), "Unhandled")


class ExecutionEnvironment:
    """Runs one invocation at a time, like Lambda's. Not usable again once `is_alive` is false."""

    def __init__(
        self,
        code: Path,
        handler: str,
        environment: dict[str, str],
        on_line: LineReader,
        on_end: Callable[[], None],
    ) -> None:
        self._invocations: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._current: Invocation | None = None
        self._is_polling = threading.Event()
        self._init_error: bytes | None = None
        self._api = ThreadingHTTPServer(("127.0.0.1", 0), self._handler_class())
        self._api.daemon_threads = True
        threading.Thread(target=self._api.serve_forever, daemon=True).start()
        self._child = Child(
            [sys.executable, "-m", "awslambdaric", handler],
            {**environment, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._api.server_port}"},
            on_line,
            code,
        )
        threading.Thread(target=self._watch, args=(on_end,), daemon=True).start()

    @property
    def is_alive(self) -> bool:
        return self._child.exit_status is None

    @property
    def was_initialised(self) -> bool:
        return self._is_polling.is_set()

    def wait_until_initialised(self, timeout_seconds: float) -> bool:
        """Wait until the function asks for work. False when its own code failed or took too long before that."""
        deadline = time.monotonic() + timeout_seconds
        while self.is_alive and time.monotonic() < deadline:
            if self._is_polling.wait(0.05):
                return True
        return self._is_polling.is_set()

    def run(self, invocation: Invocation) -> None:
        """Hand the invocation over and wait for its end, be it an answer, an error, a crash or the time limit."""
        # Lambda starts an init that took too long once more, within the function's own time.
        if not self.wait_until_initialised(INIT_SECONDS + invocation.timeout_seconds):
            if self._init_error:
                invocation.finish(self._init_error, "Unhandled")
            invocation.fail("Runtime.ExitError", "Runtime exited without providing a reason")
            return self.stop()
        self._current = invocation
        if not self.is_alive:  # it died idle, just now: nobody else will tell
            return invocation.fail("Runtime.ExitError", "Runtime exited without providing a reason")
        self._invocations.put(invocation)
        if not invocation.finished.wait(invocation.timeout_seconds):
            invocation.fail("Sandbox.Timedout", f"Task timed out after {invocation.timeout_seconds:.2f} seconds")
            self.stop()
        return None

    def stop(self) -> None:
        self._child.stop(grace_seconds=1)
        self._invocations.put(None)
        self._api.shutdown()
        self._api.server_close()

    def _watch(self, on_end: Callable[[], None]) -> None:
        self._child.wait()
        if self._current:
            self._current.fail("Runtime.ExitError", "Runtime exited without providing a reason")
        on_end()

    def _handler_class(self) -> type[BaseHTTPRequestHandler]:
        environment = self

        class RuntimeApi(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else Nagle and delayed ACK add 40 ms to an answer
            wbufsize = -1

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing: the function's log is the function's own."""

            def do_GET(self) -> None:
                if self.path != f"{_API}/invocation/next":
                    return self._answer(404)
                environment._is_polling.set()
                invocation = environment._invocations.get()
                if invocation is None:
                    self.close_connection = True
                    return None
                invocation.deadline = time.time() + invocation.timeout_seconds
                headers = {
                    "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                    "Lambda-Runtime-Deadline-Ms": str(int(invocation.deadline * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
                    "Lambda-Runtime-Trace-Id": f"Root=1-{int(time.time()):x}-{uuid.uuid4().hex[:24]};Sampled=0",
                    "Content-Type": "application/json",
                }
                return self._answer(200, invocation.event, headers)

            def do_POST(self) -> None:
                body = self._body()
                current = environment._current
                if self.path == f"{_API}/init/error":
                    environment._init_error = body
                elif current and self.path == f"{_API}/invocation/{current.request_id}/response":
                    current.finish(body)
                elif current and self.path == f"{_API}/invocation/{current.request_id}/error":
                    current.finish(body, "Unhandled")
                else:
                    return self._answer(400)
                return self._answer(202, b'{"status": "OK"}')

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()

        return RuntimeApi

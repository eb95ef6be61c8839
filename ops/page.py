"""Serve the page on this machine: a proxy on the loopback that signs, since a browser cannot, and asks the function.

python -m ops.page --outputs build/dev/outputs.json --port 8000

No other page may ask, nor one under a name that was made to lead here: it signs in the name of whoever started it.
"""

import argparse
import contextlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import botocore.session
from botocore.exceptions import BotoCoreError

from ops.function_url import FunctionUrl
from ops.outputs import ToolError, read_outputs, run

_BODY_BYTES = 6_291_456  # Lambda's limit for a request
_OF_ONE_CONNECTION = ("connection", "content-length", "date", "keep-alive", "server", "transfer-encoding")
Answer = tuple[int, dict[str, str], bytes]


class Proxy(ThreadingHTTPServer):
    """Answers on 127.0.0.1 alone. Raises OSError or OverflowError when the port is not to be had."""

    def __init__(self, port: int, function: FunctionUrl) -> None:
        super().__init__(("127.0.0.1", port), _Browser)
        self.function, self.hosts = function, [f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")]


class _Browser(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds without a byte

    def do_GET(self) -> None:
        status, headers, body = self._refusal() or self._ask()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def _refusal(self) -> Answer | None:
        length, origin = self.headers.get("Content-Length", "0"), self.headers.get("Origin")
        is_own = origin in (None, *(f"http://{host}" for host in self.server.hosts))
        is_own &= self.headers.get("Sec-Fetch-Site") in (None, "none", "same-origin")  # none: by a user's own doing
        if not is_own or self.headers.get("Host") not in self.server.hosts:
            return _refused(403, "foreign", "No other page may ask: open this one by its address.")
        if not self.path.startswith("/") or not length.isdecimal() or "Transfer-Encoding" in self.headers:
            return _refused(400, "bad_request", "Ask for a path, and say how long the body is.")
        if int(length) > _BODY_BYTES:
            return _refused(413, "too_large", f"A request may have {_BODY_BYTES} bytes.")
        return None

    def _ask(self) -> Answer:
        headers = {name: self.headers[name] for name in ("Accept", "Content-Type") if name in self.headers}
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        try:
            answer = self.server.function.ask(self.command, self.path, body, headers)
        except BotoCoreError as error:
            return _refused(502, "unreachable", f"The function could not be asked: {error}")
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_ONE_CONNECTION}
        return answer.status_code, kept, answer.content


def _refused(status: int, code: str, message: str) -> Answer:
    headers = {"Content-Type": "application/json", "Connection": "close"}  # a body may be unread
    return status, headers, json.dumps({"error": {"code": code, "message": message}}).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--port", required=True)
    arguments = parser.parse_args()
    outputs, credentials = read_outputs(arguments.outputs), botocore.session.get_session().get_credentials()
    function = FunctionUrl(outputs["function_url"], credentials, outputs["region"])
    try:
        proxy = Proxy(int(arguments.port), function)
    except (OSError, OverflowError, ValueError):
        raise ToolError(f"Port {arguments.port!r} is not to be had: choose another with PORT=<number>.") from None
    print(f"The page is at http://{proxy.hosts[0]}/ (Ctrl-C ends it).", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        proxy.serve_forever()


if __name__ == "__main__":
    run(main)

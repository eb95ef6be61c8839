"""Serve the page on this machine: a proxy on the loopback that signs, since a browser cannot, and asks the function.

python -m ops.page --outputs build/dev/outputs.json --port 8000

What it signs is in the name of whoever started it: so no other page may ask, nor one under a name that was made to
lead here.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from ops.outputs import ToolError, read_outputs, run

_BODY_BYTES = 6_291_456  # Lambda's limit for a request
_TIMEOUTS_SECONDS = (5, 65)  # to connect, and for an answer
_PASSED_ON = ("Accept", "Content-Type")
_SITES = ("none", "same-origin")  # a user's own doing, and the page's
_OF_ONE_CONNECTION = ("connection", "content-length", "date", "keep-alive", "server", "transfer-encoding")


class FunctionUrl:
    """A function URL behind `AWS_IAM`, asked in the name of whoever these credentials belong to."""

    def __init__(self, url: str, credentials: Credentials, region: str) -> None:
        self._url, self._credentials, self._region = url.rstrip("/"), credentials, region
        self._http = URLLib3Session(
            timeout=_TIMEOUTS_SECONDS, proxies=get_environ_proxies(url), max_pool_connections=50
        )

    def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> AWSResponse:
        """The answer, whatever its status. Raises BotoCoreError when there is none."""
        request = AWSRequest(method, self._url + path, headers, body)
        SigV4Auth(self._credentials.get_frozen_credentials(), "lambda", self._region).add_auth(request)
        return self._http.send(request.prepare())


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
        hosts, length = self.server.hosts, self.headers.get("Content-Length", "0")
        is_own = self.headers.get("Host") in hosts and self.headers.get("Sec-Fetch-Site", "none") in _SITES
        if not is_own or self.headers.get("Origin") not in (None, *(f"http://{host}" for host in hosts)):
            self._refuse(403, "foreign", "No other page may ask: open this one by its address.")
        elif not self.path.startswith("/") or not length.isdecimal() or "Transfer-Encoding" in self.headers:
            self._refuse(400, "bad_request", "Ask for a path, and say how long the body is.")
        elif int(length) > _BODY_BYTES:
            self._refuse(413, "too_large", f"A request may have {_BODY_BYTES} bytes.")
        else:
            self._ask(self.rfile.read(int(length)))

    do_POST = do_GET

    def _ask(self, body: bytes) -> None:
        headers = {name: self.headers[name] for name in _PASSED_ON if name in self.headers}
        try:
            answer = self.server.function.ask(self.command, self.path, body, headers)
        except BotoCoreError as error:
            return self._refuse(502, "unreachable", f"The function could not be asked: {error}")
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_ONE_CONNECTION}
        return self._answer(answer.status_code, kept, answer.content)

    def _refuse(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"error": {"code": code, "message": message}}).encode()
        self._answer(status, {"Content-Type": "application/json", "Connection": "close"}, body)  # with an unread body

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--port", required=True)
    arguments = parser.parse_args()
    outputs, credentials = read_outputs(arguments.outputs), botocore.session.get_session().get_credentials()
    try:
        proxy = Proxy(int(arguments.port), FunctionUrl(outputs["function_url"], credentials, outputs["region"]))
    except (OSError, OverflowError, ValueError):
        raise ToolError(f"Port {arguments.port!r} is not to be had: choose another with PORT=<number>.") from None
    print(f"The page is at http://{proxy.hosts[0]}/ (Ctrl-C ends it).", flush=True)
    proxy.serve_forever()


if __name__ == "__main__":
    run(main)

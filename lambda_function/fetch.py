"""Fetch an image from a URL that a stranger chose, without being sent anywhere inside.

Imported only when an event has a URL. Built on http.client, which botocore has loaded already: what is particular here
is who may be connected to and for how long, and no library decides all of that.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Collection
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from refusal import RefusedError

MAX_BYTES = 5_000_000
MAX_SECONDS = 4.5  # for everything: names, redirects, handshakes, headers and body
MAX_REDIRECTS = 3
MAX_ADDRESSES = 4  # of one host that are tried
ANY_HOST = "*"

_REDIRECTS = (301, 302, 303, 307, 308)
# Global by Python's word, and yet they lead on: protocol assignments with Teredo, 6to4 and its relays. NAT64 and what
# maps an IPv4 address stand outside 2000::/3, the only part of IPv6 that is in public use.
_UNICAST_V6 = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in ("2001::/23", "2002::/16", "3fff::/20", "192.88.99.0/24", "192.0.0.0/24")
]


def refused(message: str) -> RefusedError:
    return RefusedError(400, "url_refused", message)


def failed(message: str) -> RefusedError:
    return RefusedError(422, "fetch_failed", message)


def fetch(url: str, allowed_hosts: Collection[str]) -> bytes:
    """What `url` delivers as an image, at most MAX_BYTES of it and within MAX_SECONDS.

    `allowed_hosts` holds host names, or "*" for any; "http://<host>" allows a host without TLS too.

    Raises:
        RefusedError: 400 where the URL is not to be fetched, 413 and 415 for what it delivers, 422 where it fails.
    """
    job = _Job(allowed_hosts)
    # A thread, because neither a name that never resolves nor a byte every second runs into any timeout of a socket.
    thread = threading.Thread(target=job.run, args=(url,), name="fetch", daemon=True)
    thread.start()
    thread.join(MAX_SECONDS)
    outcome = job.outcome  # read first: headers that break off at the hang-up look like an answer without an image
    job.hang_up()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def is_public(address: str) -> bool:
    """Whether an address belongs to the open internet, and to nothing that tunnels or translates to another."""
    ip = ipaddress.ip_address(address)
    if ip.version == 6 and ip not in _UNICAST_V6:
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOT_PUBLIC)


class _Job:
    """One fetch with its redirects. `outcome` is the image or the error, at any time."""

    _context: ssl.SSLContext | None = None  # made for the first host that needs it
    _socket: socket.socket | None = None

    def __init__(self, allowed_hosts: Collection[str]) -> None:
        self._allowed_hosts = allowed_hosts
        self._deadline = time.monotonic() + MAX_SECONDS
        self.outcome: bytes | RefusedError = failed(f"The URL did not deliver an image within {MAX_SECONDS:g} s.")

    def run(self, url: str) -> None:
        try:
            for _ in range(1 + MAX_REDIRECTS):
                target = self._get(url)
                self._remaining_seconds()  # once the caller has hung up, nobody waits for where it leads
                if isinstance(target, bytes):
                    self.outcome = target
                    return
                url = target
            self.outcome = failed(f"The URL redirects more than {MAX_REDIRECTS} times.")
        except RefusedError as error:
            self.outcome = error
        except TimeoutError:
            pass  # as the outcome says
        except (OSError, ValueError, http.client.HTTPException):
            self.outcome = failed("The URL cannot be fetched.")

    def hang_up(self) -> None:
        """End whatever the thread waits for on its connection."""
        if self._socket:
            with contextlib.suppress(OSError):  # it may have ended already
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # not SSLSocket's, which is not for two threads

    def _get(self, url: str) -> bytes | str:
        """The image, or the URL that it is redirected to."""
        parts, host = self._check(url)
        is_tls = parts.scheme == "https"
        sock = self._connect(host, 443 if is_tls else 80)
        try:
            if is_tls:
                self._context = self._context or ssl.create_default_context()
                sock = self._socket = self._context.wrap_socket(
                    sock, server_hostname=host, do_handshake_on_connect=False
                )
                self._remaining_seconds()
                sock.do_handshake()
            connection = http.client.HTTPConnection(host, 80)  # the port that the Host line leaves out
            connection.sock = sock
            path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
            headers = {"Accept": "image/*", "User-Agent": "dogbreed"}
            connection.request("GET", quote(path, "%/:=&?~+!$,;'@()*[]"), headers=headers)
            response = connection.getresponse()
            if response.status in _REDIRECTS and (location := response.getheader("Location")):
                return urljoin(url, location)
            return _image(response)
        finally:
            sock.close()

    def _check(self, url: str) -> tuple[Any, str]:
        """The parts of a URL that may be fetched, and its host."""
        try:
            parts = urlsplit(url)
            port, host = parts.port, (parts.hostname or "").rstrip(".")
        except ValueError:
            raise refused("This is not a URL.") from None
        if not host or not host.isascii():
            raise refused("The URL needs a host in ASCII: international names in their xn-- form.")
        if parts.scheme != "https" and (parts.scheme != "http" or f"http://{host}" not in self._allowed_hosts):
            raise refused("Only https URLs are fetched.")
        if "@" in parts.netloc:
            raise refused("A URL with a user name is not fetched.")
        if port not in (None, 443 if parts.scheme == "https" else 80):
            raise refused("Only the scheme's own port is fetched from.")
        if not {ANY_HOST, host, f"http://{host}"} & set(self._allowed_hosts):
            raise refused("Images are not fetched from this host.")
        return parts, host

    def _connect(self, host: str, port: int) -> socket.socket:
        """A connection to one of the host's addresses, looked up once, so that what is checked is what is connected."""
        found: list[Any] = []
        with contextlib.suppress(OSError, ValueError):
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # One sentence for both, so that nobody reads from it which names exist inside.
        if not found or not all(is_public(address[0]) for *_, address in found):
            raise refused("The URL's host has no public address.")
        for family, kind, protocol, _, address in found[:MAX_ADDRESSES]:
            with contextlib.suppress(OSError), contextlib.ExitStack() as undo:
                sock = self._socket = undo.enter_context(socket.socket(family, kind, protocol))
                sock.settimeout(self._remaining_seconds())
                sock.connect(address)
                undo.pop_all()
                return sock
        self._remaining_seconds()
        raise failed("The URL's host does not answer.")

    def _remaining_seconds(self) -> float:
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds


def _image(response: http.client.HTTPResponse) -> bytes:
    if response.status != 200:
        raise failed(f"The URL answers with status {response.status}.")
    if not response.getheader("Content-Type", "").lower().startswith("image/"):
        raise RefusedError(415, "unsupported_image", "The URL delivers no image.")
    if response.getheader("Content-Encoding", "identity").lower() != "identity":
        raise RefusedError(415, "unsupported_image", "The URL delivers the image compressed.")
    too_large = RefusedError(413, "too_large", f"The URL delivers more than {MAX_BYTES} bytes.")
    if (response.length or 0) > MAX_BYTES:
        raise too_large
    image = response.read(MAX_BYTES + 1)
    if len(image) > MAX_BYTES:
        raise too_large
    if response.length:
        raise failed("The URL's answer breaks off.")
    return image

"""An internet in one process: names, addresses, a certificate authority and servers, and who was connected to.

Each connection that anything opens is seen at the socket. One to a public address is led to a server on loopback; one
to any other is counted and refused. Python's own lookups and certificates are this internet's meanwhile.
"""

import contextlib
import datetime
import ipaddress
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PUBLIC_V4, PUBLIC_V6 = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
JPEG = b"\xff\xd8\xff\xe0 a photograph"
# What IANA's special-purpose registries, the multicast registries and RFC 6052 set apart, translation and tunnels
# included; written out, so that it does not follow from what the function asks of Python.
NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4", "::/8", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23",
        "2001:db8::/32", "2002::/16", "3fff::/20", "4000::/2", "8000::/1",
    )
]  # fmt: skip

Reply = Callable[[socket.socket], None]  # writes what a server answers, once it has read the request's head
Names = dict[str, list[list[str]]]  # the addresses of a host at the first lookup, at the second, and so on


def is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    return not any(ip in network for network in NOT_PUBLIC if network.version == ip.version)


def response(body: bytes = JPEG, status: str = "200 OK", **headers: str) -> Reply:
    """A whole answer; `headers` as content_type="image/png", None for none."""
    fields = {"content_type": "image/jpeg", "content_length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return lambda sock: sock.sendall("\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body)


def redirect(location: str, status: str = "302 Found") -> Reply:
    return response(b"", status, location=location)


def dripping(start: bytes, drop: bytes = b"x", seconds: float = 0.05) -> Reply:
    """Something at once, and then a little again and again, for ever."""

    def reply(sock: socket.socket) -> None:
        sock.sendall(start)
        while True:
            sock.sendall(drop)
            time.sleep(seconds)

    return reply


class Internet:
    """`names` and `replies` (by host and path) may be added to at any time; `connected` has every (address, port)."""

    def __init__(self, folder: Path) -> None:
        self.names: Names = {}
        self.replies: dict[str, Reply] = {}
        self.requests: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self.raw: Reply | None = None  # in place of TLS and HTTP
        self.context = ssl.create_default_context(cadata=_make_authority(folder))
        self._server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server_context.load_cert_chain(folder / "server.pem")
        self._listeners = {port: socket.create_server(("127.0.0.1", 0), backlog=128) for port in (80, 443)}
        self._lookups: dict[str, Iterator[list[str]]] = {}
        for port, listener in self._listeners.items():
            threading.Thread(target=self._accept, args=(listener, port), daemon=True).start()

    def resolve(self, host: str, port: int, **_: Any) -> list[Any]:
        """As socket.getaddrinfo, which itself reads addresses, however they are spelt."""
        if host not in self.names:
            return _read_address(host, port)
        lookups = self.names[host]
        found = self._lookups.setdefault(host, itertools.chain(lookups[:-1], itertools.repeat(lookups[-1])))
        return [answer for address in next(found) for answer in _read_address(address, port)]

    @contextlib.contextmanager
    def connections_led_here(self) -> Iterator[None]:
        connect, lookup, make_context = socket.socket.connect, socket.getaddrinfo, ssl.create_default_context

        def led(sock: socket.socket, address: Any) -> None:
            if sock.family not in (socket.AF_INET, socket.AF_INET6) or address[1] in self._ports():
                return connect(sock, address)
            self.connected.append(address[:2])
            if not is_public(address[0]) or address[1] not in self._listeners:
                raise ConnectionRefusedError
            here = "127.0.0.1" if sock.family == socket.AF_INET else "::ffff:127.0.0.1"
            return connect(sock, (here, self._listeners[address[1]].getsockname()[1]))

        socket.socket.connect = led  # type: ignore[method-assign]
        socket.getaddrinfo = lambda *asked, **named: self.resolve(*asked, **named)
        ssl.create_default_context = lambda: self.context  # type: ignore[assignment]
        try:
            yield
        finally:
            socket.socket.connect = connect  # type: ignore[method-assign]
            socket.getaddrinfo, ssl.create_default_context = lookup, make_context

    def inside(self) -> list[tuple[str, int]]:
        """Connections that should never have been tried."""
        return [(address, port) for address, port in self.connected if not is_public(address)]

    def close(self) -> None:
        for listener in self._listeners.values():
            listener.close()

    def _ports(self) -> set[int]:
        return {listener.getsockname()[1] for listener in self._listeners.values()}

    def _accept(self, listener: socket.socket, port: int) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock, port), daemon=True).start()

    def _serve(self, sock: socket.socket, port: int) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(sock)
            if self.raw:
                return self.raw(sock)
            if port == 443:
                sock = stack.enter_context(self._server_context.wrap_socket(sock, server_side=True))
            head = b""
            while b"\r\n\r\n" not in head and (received := sock.recv(65536)):
                head += received
            self.requests.append(head.decode())
            path = head.split(b" ")[1].decode()
            (host,) = (line[6:].decode() for line in head.split(b"\r\n") if line.lower().startswith(b"host: "))
            self.replies.get(f"{host}{path}", response(status="404 Not Found"))(sock)


def _read_address(address: str, port: int, lookup: Callable[..., list[Any]] = socket.getaddrinfo) -> list[Any]:
    """By the system's own reader, which is bound here: a lookup comes to this internet."""
    return lookup(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)


def _make_authority(folder: Path) -> str:
    """Write server.pem, a certificate for *.example.com and the public addresses; returns the authority's own."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in ("authority", "server")]
    now = datetime.datetime.now(datetime.UTC)
    hosts: list[x509.GeneralName] = [x509.DNSName("*.example.com")]
    hosts += [x509.IPAddress(ipaddress.ip_address(address)) for address in (PUBLIC_V4, PUBLIC_V6)]
    certificates = []
    for index, (name, key) in enumerate(zip(names, keys, strict=True)):
        builder = x509.CertificateBuilder().issuer_name(names[0]).subject_name(name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=index == 0, path_length=None), critical=True)
        if index:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        certificates.append(builder.sign(keys[0], hashes.SHA256()))
    authority, server = (certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)
    private = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(private + server)
    return authority.decode()

"""URLs by which a stranger could try to reach what only the function can reach, or to keep it busy."""

import gzip
import ipaddress
import itertools
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

from tests.lambda_function.internet import (
    JPEG,
    PUBLIC_V4,
    PUBLIC_V6,
    Internet,
    Names,
    Reply,
    dripping,
    redirect,
    response,
)

LOOPBACK, METADATA, PRIVATE = "127.0.0.1", "169.254.169.254", "10.0.0.1"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
ENTRY = "https://start.example.com/"

INNER_V4 = [
    LOOPBACK, METADATA, PRIVATE, "0.0.0.0", "127.255.255.254", "169.254.170.2", "172.16.0.1", "172.31.255.255",  # noqa: S104
    "192.168.0.1", "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
]  # fmt: skip
INNER_V6 = [
    "::1", "::", "fe80::1", "fe80::a9fe:a9fe", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "ff0e::1", "100::1",
    "2001:db8::1", "2001:2::1", "2001:10::1", "2001:20::1", "3fff::1", "5f00::1", "::2", "4000::1",
]  # fmt: skip


class Vector(NamedTuple):
    """A URL, and the internet that it is fetched in: names, replies by host and path, what speaks in place of TLS."""

    name: str
    url: str
    names: Names = {}  # noqa: RUF012
    replies: dict[str, Reply] = {}  # noqa: RUF012
    raw: Reply | None = None

    def set_up(self, internet: Internet) -> None:
        internet.names |= {"start.example.com": [[PUBLIC_V4]], **self.names}
        internet.replies |= {"start.example.com/": response(), **self.replies}
        internet.raw = self.raw


def spellings(address: str) -> Iterator[str]:
    """An IPv4 address in the ways of inet_aton, and in digits that only look different."""
    a, b, c, d = (int(part) for part in address.split("."))
    whole, low24, low16 = int(ipaddress.ip_address(address)), b << 16 | c << 8 | d, c << 8 | d
    yield from (f"{whole}", f"{whole:#x}", f"0{whole:o}", f"{a}.{low24}", f"{a}.{b}.{low16}", f"{a:#x}.{low24:#x}")
    yield from (
        f"{a:#x}.{b:#x}.{c:#x}.{d:#x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        f"00{a:o}.{b:#X}.{c}.{d}",
        f"{address}.",
    )
    yield address.replace(".", "\u3002")
    yield address.translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)})
    yield address.translate({ord("0") + digit: 0x245F + digit for digit in range(1, 10)})
    yield from (address.replace(".", "%2e"), f"{address}%00.example.com", f"{address}\t", f" {address}")


def embeddings(address: str) -> Iterator[str]:
    """An IPv4 address inside IPv6 ones: mapped, compatible, translated, by NAT64, 6to4, Teredo and ISATAP."""
    value = int(ipaddress.ip_address(address))
    high, low = value >> 16, value & 0xFFFF
    yield from (f"::ffff:{address}", f"::ffff:{high:x}:{low:x}", f"::{address}", f"::ffff:0:{address}")
    yield from (f"64:ff9b::{address}", f"64:ff9b::{high:x}:{low:x}", f"64:ff9b:1::{address}")
    yield from (
        f"2002:{high:x}:{low:x}::",
        f"2002:{high:x}:{low:x}::1",
        f"2001:0:4136:e378:8000:63bf:{~high & 0xFFFF:x}:{~low & 0xFFFF:x}",
    )
    yield from (f"fe80::5efe:{address}", f"2001:0:{high:x}:{low:x}::")


def in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def addresses() -> Iterator[Vector]:
    inner = [*INNER_V4, *INNER_V6, *itertools.chain(*map(embeddings, (LOOPBACK, METADATA, PRIVATE)))]
    for address in inner:
        yield Vector(f"address {address}", f"https://{in_url(address)}/")
    for address in (LOOPBACK, METADATA, PRIVATE):
        for spelling in spellings(address):
            yield Vector(f"spelling {spelling!r}", f"https://{spelling}/")
    for address in (*INNER_V4[:8], *INNER_V6[:6], *embeddings(METADATA)):
        yield Vector(f"name of {address}", ENTRY, {"start.example.com": [[address]]})
    for pair in itertools.permutations((PUBLIC_V4, METADATA)):
        yield Vector(f"name of {pair}", ENTRY, {"start.example.com": [list(pair)]})
    yield Vector("name of both families", ENTRY, {"start.example.com": [[PUBLIC_V6, PUBLIC_V4, "::1"]]})
    yield Vector("zone", "https://[fe80::1%25lo]/")
    yield Vector("no such name", "https://nowhere.example.com/", {"nowhere.example.com": [[]]})


def redirects() -> Iterator[Vector]:
    targets = [f"https://{in_url(address)}/" for address in (*INNER_V4[:6], *INNER_V6[:6], *embeddings(METADATA))]
    targets += [f"https://{spelling}/" for spelling in itertools.islice(spellings(METADATA), 10)]
    targets += [
        f"//{METADATA}/latest",
        f"http://{METADATA}/latest/meta-data/",
        f"https://{METADATA}:80/",
        "file:///etc/passwd",
    ]
    targets += [
        "gopher://127.0.0.1:6379/_INFO",
        "ftp://127.0.0.1/",
        "https://start.example.com:8443/",
        "/",
        "//",
        "https://",
    ]
    targets += [
        f"https://start.example.com@{METADATA}/",
        f"https://{METADATA}#@start.example.com/",
        "http://[::1",
        "\\\\127.0.0.1\\",
    ]
    for target in targets:
        yield Vector(f"redirect to {target}", ENTRY, replies={"start.example.com/": redirect(target)})
    for status in ("301 Moved", "303 See Other", "307 Temporary", "308 Permanent", "300 Multiple", "304 Not Modified"):
        reply = {"start.example.com/": redirect(f"https://{METADATA}/", status)}
        yield Vector(f"redirect by {status}", ENTRY, replies=reply)
    chain = {f"start.example.com/{n or ''}": redirect(f"/{n + 1}") for n in range(10)}
    yield Vector("redirects without end", ENTRY, replies=chain)
    last = {f"start.example.com/{n or ''}": redirect(f"/{n + 1}") for n in range(2)}
    last["start.example.com/2"] = redirect(f"https://{METADATA}/")
    yield Vector("redirect at the end of others", ENTRY, replies=last)
    for inner in (LOOPBACK, METADATA, "::1", f"::ffff:{METADATA}", "fd00:ec2::254"):
        rebinding: Names = {"start.example.com": [[PUBLIC_V4], [inner]]}
        yield Vector(f"rebinding to {inner}", ENTRY, rebinding)
        again = {"start.example.com/": redirect("/again"), "start.example.com/again": response()}
        yield Vector(f"rebinding to {inner} between redirects", ENTRY, rebinding, again)


def shapes() -> Iterator[Vector]:
    urls = [
        f"https://start.example.com@{METADATA}/",
        f"https://{METADATA}@start.example.com/",
        f"https://start.example.com\\@{METADATA}/",
    ]
    urls += [
        f"https://start.example.com:pass@{METADATA}/",
        f"https://start.example.com#@{METADATA}/",
        f"https://@{METADATA}/",
    ]
    urls += [
        f"https://{host}:{port}/"
        for host in ("start.example.com", LOOPBACK)
        for port in (0, 22, 25, 80, 6379, 8080, 8443, 65535)
    ]
    urls += ["https://start.example.com:99999/", "https://start.example.com:-1/", "https://start.example.com:4४3/"]
    urls += [
        f"{scheme}://{METADATA}/"
        for scheme in ("http", "ftp", "gopher", "dict", "ldap", "ws", "unix", "HTTP", "https+unix")
    ]
    urls += [
        "http://start.example.com/",
        "file:///etc/passwd",
        "data:image/png;base64,iVBORw0KGgo=",
        "javascript:alert(1)",
        "about:blank",
    ]
    urls += [
        "",
        "/",
        "//",
        "https:",
        "https:/",
        "https://",
        "https:///",
        f"https:{METADATA}",
        f"https:/{METADATA}",
        f"//{METADATA}/",
        METADATA,
    ]
    urls += [
        "https://[",
        "https://[::1",
        "https://[::1]:",
        "https://[v1.a]/",
        "https://localhost/",
        "https://localhost.localdomain/",
        "\x00",
    ]
    urls += [
        "https://start.example.com/\r\nHost: inside",
        "https://start.example.com\r\n.inside/",
        "https://start.example.com/ HTTP/1.1",
        "https://\ud800/",
    ]
    urls += [
        f"https://{'a' * 64}.example.com/",
        f"https://{'a.' * 200}com/",
        "https://.../",
        "https://st\u00e4rt.example.com/",
        "https://-/",
    ]
    for url in urls:
        yield Vector(f"shape {url!r:.80}", url)


def bodies() -> Iterator[Vector]:
    """What ends at once, by its size or its kind."""
    bomb = gzip.compress(bytes(50_000_000))
    replies = {
        "gzip bomb": response(bomb, content_encoding="gzip"),
        "gzip bomb in gzip": response(gzip.compress(bomb), content_encoding="gzip, gzip"),
        "deflate bomb": response(bomb, content_encoding="deflate"),
        "body of 50 MB": response(JPEG.ljust(50_000_000)),
        "body said to be of 50 TB": response(content_length=str(50 << 40)),
        "length below zero": response(content_length="-1"),
        "two lengths": response(content_length="1\r\nContent-Length: 99999999"),
        "HTML": response(b"<html>", content_type="text/html"),
        "no type": response(content_type="\r\nX: "),
        "JSON of the metadata service": response(b"{}", content_type="application/json"),
        "status 500": response(status="500 Oops"),
        "status 206": response(status="206 Partial Content"),
        "status 999999": response(status="999999 Oops"),
        "no HTTP": lambda sock: sock.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"),
        "nothing": lambda sock: None,
        "endless chunk": dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n", b"x" * 1_000_000, 0),
        "negative chunk": lambda sock: sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n"),
        "endless body": dripping(HEAD + b"\r\n", b"x" * 1_000_000, 0),
        "endless headers": dripping(HEAD, b"X-Header: x\r\n" * 1000, 0),
        "endless header": dripping(HEAD + b"X: ", b"x" * 100_000, 0),
        "endless status": dripping(b"HTTP/1.1 200 ", b"x" * 100_000, 0),
    }
    for name, reply in replies.items():
        yield Vector(name, ENTRY, replies={"start.example.com/": reply})


def slow() -> Iterator[Vector]:
    """What never ends by itself."""
    replies = {
        "silence": lambda sock: time.sleep(60),
        "body by the byte": dripping(HEAD + b"\r\n"),
        "chunks by the byte": dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        "headers by the byte": dripping(HEAD + b"X: "),
        "header after header": dripping(HEAD, b"X: x\r\n", 0.1),
        "status by the byte": dripping(b"HTTP/1.1 200 "),
        "continue and continue": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "trailers by the byte": dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: x\r\n", 0.1),
    }
    for name, reply in replies.items():
        yield Vector(f"slow: {name}", ENTRY, replies={"start.example.com/": reply})
    yield Vector("slow: no handshake", ENTRY, raw=lambda sock: time.sleep(60))
    yield Vector("slow: handshake by the byte", ENTRY, raw=dripping(b"\x16\x03\x03\x40\x00", b"\x02"))

    def late(location: str) -> Reply:
        def reply(sock: socket.socket) -> None:
            time.sleep(2)
            redirect(location)(sock)

        return reply

    chain = {f"start.example.com/{n or ''}": late(f"/{n + 1}") for n in range(4)}
    yield Vector("slow: redirect after redirect", ENTRY, replies=chain)


QUICK = [*addresses(), *redirects(), *shapes(), *bodies()]
SLOW = list(slow())

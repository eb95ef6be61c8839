"""A serving process under clients that are slow, silent, endless or many, and under SIGTERM while they ask."""

import http.client
import json
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

from tests.conftest import wait_for
from tests.inference.attack import attack, complaints, image
from tests.inference.hostile import drawn
from tests.inference.process import Server, serving

Figure = Callable[[str, object], None]

PICTURE = drawn("JPEG")
# What takes seconds with the real constants.
IMPATIENT = {"serve.BODY_TIMEOUT_SECONDS": 0.5, "connections.HEAD_TIMEOUT_SECONDS": 0.5}
BYTES_BOUND = 50_000_000


def head(length: int | None) -> bytes:
    """The head of a request whose body has this many bytes, or comes in chunks."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"POST /invocations HTTP/1.1\r\nHost: model\r\nContent-Type: image/jpeg\r\n{framing}\r\n\r\n".encode()


def read_answer(answers: BinaryIO) -> tuple[int, Any, bool]:
    """The status, the JSON, and whether the server closes, of the next answer on a connection."""
    status = int(answers.readline().split()[1])
    headers = http.client.parse_headers(answers)
    content = json.loads(answers.read(int(headers["Content-Length"])))
    return status, content, headers["Connection"] == "close"


def is_answered(connection: socket.socket, within_seconds: float) -> bool:
    """Is there an answer to read, or the end of the connection?"""
    return bool(select.select([connection], [], [], within_seconds)[0])


def drip(connection: socket.socket, content: bytes) -> None:
    """Send twenty bytes a second, one by one, until something comes back."""
    with suppress(ConnectionError):
        for at in range(len(content)):
            connection.sendall(content[at : at + 1])
            if is_answered(connection, within_seconds=0.05):
                return


def is_closed(connection: socket.socket) -> bool:
    """Wait until the server has closed a connection, on which it sends nothing more."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def others_are_served(server: Server) -> bool:
    answers = attack(server.port, [image("other", "image/jpeg", PICTURE)] * 20)
    return {answer.status for answer in answers} == {200}


class Caller:
    """A client that asks over one connection again and again until the server says that it closes."""

    def __init__(self, server: Server) -> None:
        self.connection = server.connect()
        self.answers = self.connection.makefile("rb")
        self.statuses: list[int] = []

    def ask_until_closed(self) -> None:
        is_closing = False
        while not is_closing:
            self.connection.sendall(head(len(PICTURE)) + PICTURE)
            status, _, is_closing = read_answer(self.answers)
            self.statuses.append(status)


def test_sigterm_under_load_leaves_no_request_without_an_answer(model_dir: Path) -> None:
    with serving(model_dir.parent) as server, ThreadPoolExecutor(8) as threads:
        server.wait_until_ready()
        callers = [Caller(server) for _ in range(8)]
        asking = [threads.submit(caller.ask_until_closed) for caller in callers]
        half = len(PICTURE) // 2
        late = server.connect()
        late.sendall(head(len(PICTURE)) + PICTURE[:half])
        wait_for(lambda: all(len(caller.statuses) > 20 for caller in callers))

        server.process.terminate()
        wait_for(lambda: server.ping() is None)
        late.sendall(PICTURE[half:])
        assert read_answer(late.makefile("rb"))[0] == 200
        for future in asking:
            future.result(timeout=30)  # raises what a connection did that broke off
        assert server.process.wait(timeout=30) == 0
    answered = Counter(status for caller in callers for status in caller.statuses)
    assert set(answered) == {200}
    logged = [line for line in server.log if line["event"] == "request"]
    assert len(logged) == answered[200] + 1
    assert server.errors == ""


def test_slow_bodies_are_ended_and_others_are_served(model_dir: Path) -> None:
    with serving(model_dir.parent, constants=IMPATIENT) as server, ThreadPoolExecutor(20) as threads:
        server.wait_until_ready()
        slow = [server.connect() for _ in range(20)]
        for connection in slow:
            connection.sendall(head(len(PICTURE)))
        dripping = [threads.submit(drip, connection, PICTURE) for connection in slow]
        assert others_are_served(server)
        for connection, future in zip(slow, dripping, strict=True):
            future.result()
            status, content, is_closing = read_answer(connection.makefile("rb"))
            assert (status, content["error"]["code"], is_closing) == (408, "body_too_slow", True)


def test_slow_heads_are_cut_off_and_others_are_served(model_dir: Path) -> None:
    with serving(model_dir.parent, constants=IMPATIENT) as server, ThreadPoolExecutor(20) as threads:
        server.wait_until_ready()
        slow = [server.connect() for _ in range(20)]
        dripping = [threads.submit(drip, connection, head(1)) for connection in slow]
        assert others_are_served(server)
        for connection, future in zip(slow, dripping, strict=True):
            future.result()
            assert is_closed(connection)


def test_five_hundred_idle_connections_are_closed_and_others_are_served(model_dir: Path) -> None:
    with serving(model_dir.parent, constants=IMPATIENT) as server, ExitStack() as stack:
        server.wait_until_ready()
        before = server.resident_bytes
        idle = [stack.enter_context(server.connect()) for _ in range(500)]
        assert others_are_served(server)
        assert all(is_closed(connection) for connection in idle)
        assert server.resident_bytes - before < BYTES_BOUND


def send_until_answered(connection: socket.socket, content: bytes) -> int:
    """Send the same bytes again and again while nothing comes back; the number of bytes."""
    sent = 0
    with suppress(ConnectionError):
        while not is_answered(connection, within_seconds=0):
            if select.select([], [connection], [], 0.05)[1]:
                sent += connection.send(content[sent % len(content) :])
    return sent


def test_a_body_without_end_is_refused_and_kept_nowhere(model_dir: Path) -> None:
    with serving(model_dir.parent, constants=IMPATIENT) as server, ThreadPoolExecutor(1) as threads:
        server.wait_until_ready()
        before = server.resident_bytes
        endless = server.connect()
        endless.sendall(head(None))
        sending = threads.submit(send_until_answered, endless, b"8000\r\n" + bytes(0x8000) + b"\r\n")
        assert others_are_served(server)
        assert sending.result() > 6_291_456
        status, content, is_closing = read_answer(endless.makefile("rb"))
        assert (status, content["error"]["code"], is_closing) == (413, "body_too_large", True)
        assert server.peak_resident_bytes - before < BYTES_BOUND


def test_a_client_that_does_not_wait_for_answers_gets_them_in_order(model_dir: Path) -> None:
    with serving(model_dir.parent) as server:
        server.wait_until_ready()
        connection = server.connect()
        requests = [head(len(PICTURE)) + PICTURE, head(1) + b"x"] * 50
        sending = threading.Thread(target=connection.sendall, args=[b"".join(requests)])
        sending.start()
        answers = connection.makefile("rb")
        statuses = [read_answer(answers)[0] for _ in requests]
        sending.join()
        assert statuses == [200, 400] * 50


def test_clients_that_leave_take_nothing_with_them(model_dir: Path) -> None:
    with serving(model_dir.parent, constants={"serve.MAX_REQUESTS": 4}) as server:
        server.wait_until_ready()
        for sent in (PICTURE[:100], PICTURE, PICTURE[:0]) * 10:
            with server.connect() as connection:
                connection.sendall(head(len(PICTURE)) + sent)
        wait_for(lambda: sum(line["event"] == "request" for line in server.log) == 30)
        assert others_are_served(server)
        codes = Counter(line["code"] for line in server.log if line["event"] == "request")
        assert codes["client_disconnected"] >= 20
        assert not codes.keys() - {"ok", "client_disconnected", "busy"}
        assert server.errors == ""


def test_more_requests_than_may_wait_are_turned_away(model_dir: Path) -> None:
    large = drawn("PNG", size=(1500, 1500))
    with serving(model_dir.parent, constants={"serve.MAX_REQUESTS": 4}) as server:
        server.wait_until_ready()
        crowd = attack(server.port, [image("one of many", "image/png", large)] * 48, clients=16)
        busy = [answer for answer in crowd if answer.status == 503]
        assert {answer.status for answer in crowd} == {200, 503}
        assert complaints(answer for answer in crowd if answer.status == 200) == []
        for answer in busy:
            assert answer.headers["Retry-After"] == "1"
            assert json.loads(answer.text)["error"]["code"] == "busy"
        assert sum(line.get("code") == "busy" for line in server.log) == len(busy)
        assert others_are_served(server)
        assert server.errors == ""

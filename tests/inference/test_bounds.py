"""What callers can make a serving process hold, or do, is bounded for all of them together, not only for each."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from inference.serve import MAX_BODY_BYTES
from tests.conftest import wait_for
from tests.inference.attack import ask, images
from tests.inference.hostile import GREY, png
from tests.inference.process import serving
from tests.inference.test_pressure import BYTES_BOUND, IMPATIENT, head, others_are_served, send_until_answered


def test_a_head_without_end_is_cut_off_and_kept_nowhere(model_dir: Path) -> None:
    with serving(model_dir.parent, constants=IMPATIENT) as server, ThreadPoolExecutor(1) as threads:
        server.wait_until_ready()
        before = server.resident_bytes
        endless = server.connect()
        endless.sendall(b"POST /invocations HTTP/1.1\r\n")
        sending = threads.submit(send_until_answered, endless, b"X-More: " + b"x" * 8000 + b"\r\n")
        assert others_are_served(server)
        sending.result()
        assert server.peak_resident_bytes - before < BYTES_BOUND


def test_many_large_pictures_in_one_request_are_refused(model_dir: Path) -> None:
    largest = png(5000, 5000, depth=1, colour=GREY)
    with serving(model_dir.parent) as server:
        server.wait_until_ready()
        answer = ask(server.port, images("sixteen of the largest", [largest] * 16))
        assert (answer.status, json.loads(answer.text)["error"]["code"]) == (413, "image_too_large")


@pytest.mark.full
def test_many_bodies_that_never_end_are_not_all_held(model_dir: Path) -> None:
    almost = bytes(MAX_BODY_BYTES - 1)
    patience = {"serve.BODY_TIMEOUT_SECONDS": 3}
    with (
        serving(model_dir.parent, constants=patience) as server,
        ExitStack() as stack,
        ThreadPoolExecutor(16) as threads,
    ):
        server.wait_until_ready()
        before = server.resident_bytes
        connections = [stack.enter_context(server.connect()) for _ in range(150)]
        list(threads.map(lambda connection: connection.sendall(head(MAX_BODY_BYTES) + almost), connections))
        wait_for(lambda: others_are_served(server))
        # A gigabyte was sent.
        assert server.peak_resident_bytes - before < 500_000_000

"""Sends many requests to a serving process, and judges what comes back."""

import base64
import http.client
import itertools
import json
import re
import socket
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

MEDIA_TYPES = re.compile(r"\b(image/(jpeg|png|webp)|application/json|text/csv)\b")
# Paths, tracebacks, the names of what is inside, addresses of objects.
LEAKS = re.compile(
    r"[/\\]|Traceback|\.py\b|line \d|0x[0-9a-f]{4}|Error\b|Exception"
    r"|\b(PIL|Pillow|libjpeg|numpy|openvino|starlette|uvicorn|python|inference\.\w+)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Sent:
    """A request that can be repeated. `name` says which it was, should it fail."""

    name: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    sent: Sent
    status: int
    headers: http.client.HTTPMessage
    text: str
    milliseconds: float


def image(name: str, content_type: str, content: bytes) -> Sent:
    return Sent(name, content, {"Content-Type": content_type})


def images(name: str, contents: Sequence[bytes]) -> Sent:
    """Several in one request."""
    instances = [{"image_base64": base64.b64encode(content).decode()} for content in contents]
    return Sent(name, json.dumps({"instances": instances}).encode(), {"Content-Type": "application/json"})


def ask(port: int, sent: Sent) -> Answer:
    """One request on a connection of its own."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        return ask_over(connection, sent)


def ask_over(connection: http.client.HTTPConnection, sent: Sent) -> Answer:
    started = time.perf_counter()
    connection.request("POST", "/invocations", sent.body, dict(sent.headers))
    response = connection.getresponse()
    text = response.read().decode()
    return Answer(sent, response.status, response.headers, text, 1000 * (time.perf_counter() - started))


def attack(port: int, requests: Iterable[Sent], clients: int = 4) -> list[Answer]:
    """Send them all from a few clients at a time, and return every answer. A hang is a TimeoutError."""
    connections = threading.local()

    def send(sent: Sent) -> Answer:
        if not hasattr(connections, "mine"):
            connections.mine = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        return ask_over(connections.mine, sent)

    answers: list[Answer] = []
    waiting = iter(requests)
    with ThreadPoolExecutor(clients) as threads:
        # A few at a time, so that not all bodies are made at once.
        while batch := list(itertools.islice(waiting, 8 * clients)):
            answers += threads.map(send, batch)
    return answers


def complaints(answers: Iterable[Answer]) -> list[str]:
    """What is wrong with the answers, a line each: a failure of the server, a refusal without its shape, a leak."""
    return [f"{answer.sent.name}: {answer.status} {answer.text[:200]}" for answer in answers if not is_proper(answer)]


def is_proper(answer: Answer) -> bool:
    """Is it a prediction, or a refusal that blames the request and says nothing of the server?"""
    if answer.status == 200:
        return "predictions" in answer.text
    if not 400 <= answer.status < 500:
        return False
    content = json.loads(answer.text)
    if set(content) != {"error"} or set(content["error"]) != {"code", "message"}:
        return False
    words = MEDIA_TYPES.sub("", " ".join(content["error"].values()))
    return not LEAKS.search(words) and socket.gethostname() not in words

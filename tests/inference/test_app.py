"""The ASGI application without a process: what a caller sees before there is a model, and when something breaks."""

import asyncio
import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference import engine, serve
from inference.artifact import Manifest, PrecisionChoice, seal
from inference.serve import ModelServer


def call(server: ModelServer, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    """Status and body of the answer to one request."""
    messages = send(server, method, path, body, **headers)
    content = b"".join(message.get("body", b"") for message in messages)
    return messages[0]["status"], json.loads(content)


def send(server: ModelServer, method: str, path: str, body: bytes = b"", **headers: str) -> list[dict[str, Any]]:
    """One request to the application, as an ASGI server would pass it on, and what the application sends back."""
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(server.app(scope, receive, send))  # type: ignore[arg-type]
    return messages


def test_there_is_no_answer_before_the_warm_up(model_dir: Path) -> None:
    server = ModelServer(model_dir)
    assert call(server, "GET", "/ping") == (503, {"status": "loading"})
    status, found = call(server, "POST", "/invocations", b"x", content_type="image/jpeg")
    assert (status, found["error"]["code"]) == (503, "loading")


def test_loading_makes_it_ready(model_dir: Path) -> None:
    server = ModelServer(model_dir)
    asyncio.run(server.load())
    assert call(server, "GET", "/ping")[0] == 200


@pytest.mark.parametrize(
    ("chosen", "judged", "cpu", "runs", "why"),
    [
        ("bf16", ("fp32", "bf16"), ("fp32",), "fp32", "this CPU does not compute bf16"),
        ("fp32", ("fp32",), ("fp32", "bf16"), "bf16", "this CPU computes bf16"),
        ("fp32", ("fp32", "bf16"), ("fp32", "bf16"), "fp32", "it is the fastest"),
    ],
)
def test_what_really_runs_and_why_is_said_everywhere(
    model_dir: Path,
    manifest: Manifest,
    picture: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    chosen: str,
    judged: tuple[str, ...],
    cpu: tuple[str, ...],
    runs: str,
    why: str,
) -> None:
    precision = PrecisionChoice(chosen, "it is the fastest", dict.fromkeys(judged, 1.0))
    seal(model_dir, replace(manifest, precision=precision))
    monkeypatch.setattr(engine, "cpu_precisions", lambda: cpu)
    server = ModelServer(model_dir)
    with caplog.at_level(logging.INFO, "inference"):
        asyncio.run(server.load())
    _, ping = call(server, "GET", "/ping")
    _, found = call(server, "POST", "/invocations", picture("red"), content_type="image/png")
    ready = next(line for line in map(json.loads, caplog.messages) if line["event"] == "ready")
    assert ping["model"] == found["model"] == ready["model"] == {"run_id": "run-1", "precision": runs}
    assert ping["why"] == ready["why"]
    assert ping["why"].startswith(why)


def test_a_bug_tells_the_caller_nothing_and_the_log_everything(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret path /opt/ml")

    server = ModelServer(model_dir)
    asyncio.run(server.load())
    monkeypatch.setattr(serve.handlers, "decode", broken)
    status, found = call(
        server,
        "POST",
        "/invocations",
        b"x",
        content_type="image/jpeg",
        x_amzn_sagemaker_custom_attributes="id=abc",
    )
    assert (status, found["error"]["code"]) == (500, "internal")
    assert found["error"]["message"] == "The model server failed on request abc."
    assert "secret path" in caplog.text


def test_whoever_finds_the_queue_full_is_told_when_to_come_back(
    model_dir: Path, picture: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("METRIC_NAMESPACE", "dogs")
    server = ModelServer(model_dir)
    asyncio.run(server.load())
    server.places = asyncio.Semaphore(0)
    caplog.set_level("INFO", "inference")
    messages = send(server, "POST", "/invocations", picture(), content_type="image/png")
    assert messages[0]["status"] == 503
    assert (b"retry-after", b"1") in messages[0]["headers"]
    assert json.loads(messages[1]["body"])["error"]["code"] == "busy"
    server.places.release()
    assert send(server, "POST", "/invocations", picture(), content_type="image/png")[0]["status"] == 200
    assert not server.places.locked(), "the place is free again"

    busy, answered = (json.loads(record.message) for record in caplog.records if "request" in record.message)
    assert metrics(busy) == {"total_milliseconds": "Milliseconds", "busy": "Count"}
    assert busy["busy"] == 1
    stages = {f"{stage}_milliseconds" for stage in ("total", "decode", "queue", "model")}
    assert set(metrics(answered)) == stages
    assert all(answered[stage] >= 0 for stage in stages)
    assert answered["total_milliseconds"] >= answered["decode_milliseconds"] + answered["model_milliseconds"] - 0.02


def metrics(line: dict[str, Any]) -> dict[str, str]:
    """Name and unit of what CloudWatch reads out of a line, checked against its format's rules."""
    directives = line["_aws"]["CloudWatchMetrics"]
    assert [(one["Namespace"], one["Dimensions"]) for one in directives] == [("dogs", [[]])]
    found = {metric["Name"]: metric["Unit"] for metric in directives[0]["Metrics"]}
    assert set(found) <= set(line)
    assert isinstance(line["_aws"]["Timestamp"], int)
    return found


def test_while_it_drains_it_answers_and_takes_no_more(model_dir: Path, picture: Callable[..., bytes]) -> None:
    server = ModelServer(model_dir)
    asyncio.run(server.load())
    server.drain()
    assert call(server, "GET", "/ping") == (503, {"status": "draining"})
    start, _ = send(server, "POST", "/invocations", picture(), content_type="image/png")
    assert start["status"] == 200
    assert (b"connection", b"close") in start["headers"]


def test_the_queue_is_deeper_than_the_target_of_the_autoscaling() -> None:
    """Or the endpoint would turn callers away before it grows; Terraform bounds what a user may set."""
    variables = (Path(__file__).parents[2] / "terraform" / "variables.tf").read_text()
    bound = re.search(r"target_simultaneous_requests <= (\d+)", variables)
    assert bound
    assert int(bound[1]) < serve.MAX_REQUESTS

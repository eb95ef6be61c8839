"""The ASGI application without a process: what a caller sees before there is a model, and when something breaks."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from inference import serve
from inference.serve import ModelServer, create_app


def call(server: ModelServer, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    """One request to the application, as an ASGI server would pass it on."""
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
    asyncio.run(create_app(server)(scope, receive, send))  # type: ignore[arg-type]
    content = b"".join(message.get("body", b"") for message in messages)
    return messages[0]["status"], json.loads(content)


def test_there_is_no_answer_before_the_warm_up(model_dir: Path) -> None:
    server = ModelServer(model_dir)
    assert call(server, "GET", "/ping") == (503, {"status": "loading"})
    status, found = call(server, "POST", "/invocations", b"x", content_type="image/jpeg")
    assert (status, found["error"]["code"]) == (503, "loading")


def test_loading_makes_it_ready(model_dir: Path) -> None:
    server = ModelServer(model_dir)
    asyncio.run(server.load())
    assert call(server, "GET", "/ping")[0] == 200


def test_a_bug_tells_the_caller_nothing_and_the_log_everything(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret path /opt/ml")

    server = ModelServer(model_dir)
    asyncio.run(server.load())
    monkeypatch.setattr(serve, "decode", broken)
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

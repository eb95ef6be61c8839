"""The function as Lambda imports it, in front of an endpoint that answers on the wire."""

import base64
import importlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from urllib3 import HTTPResponse

FOLDER = Path(__file__).resolve().parents[2] / "lambda_function"
EVENTS = Path(__file__).parent / "events"
CONTEXT = SimpleNamespace(aws_request_id="8476a536-e9f4-11e8-9739-2dfe598c3fcd")
JPEG = b"\xff\xd8\xff\xe0 a photograph"
ANSWER = {
    "predictions": [
        {
            "top": [
                {"label": "016.Beagle", "index": 1, "probability": 0.75},
                {"label": "015.Basset_hound", "index": 0, "probability": 0.25},
            ],
            "logits": [0.5, 1.5],
            "low_confidence": False,
        }
    ],
    "model": {"run_id": "run-1", "precision": "bf16"},
}
VARIABLES = {
    "ENDPOINT_NAME": "the-endpoint",
    "MODEL_TIMEOUT_SECONDS": "5",
    "ALLOWED_URL_HOSTS": "*",
    "ALLOWED_S3_PREFIXES": "s3://photographs/dogs/",
    "CORS_ORIGINS": "https://dogs.example.com http://localhost:8000",
    "METRIC_NAMESPACE": "dogbreed-test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
}


@pytest.fixture(scope="module")
def function() -> Iterator[ModuleType]:
    """handler.py, imported from the root of the zip with its environment set."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        for name, value in VARIABLES.items():
            patch.setenv(name, value)
        yield importlib.import_module("handler")
        for name in {path.stem for path in FOLDER.glob("*.py")} - before:
            sys.modules.pop(name, None)


class Service:
    """An AWS service in place of the wire: what botocore would send comes here, and what this answers is parsed."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.answer: tuple[int, dict[str, str], bytes] | Exception = (200, {}, json.dumps(ANSWER).encode())

    def refuse(self, status: int, code: str, **fields: Any) -> None:
        self.answer = (status, {"x-amzn-ErrorType": code}, json.dumps(fields).encode())

    def on_request(self, request: Any, **_: Any) -> AWSResponse:
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        status, headers, body = self.answer
        raw = HTTPResponse(io.BytesIO(body), preload_content=False)
        return AWSResponse(request.url, status, {"Content-Length": str(len(body)), **headers}, raw)


@pytest.fixture
def endpoint(function: ModuleType) -> Iterator[Service]:
    service, events = Service(), function._sagemaker.meta.events
    events.register("before-send.sagemaker-runtime.InvokeEndpoint", service.on_request)
    yield service
    events.unregister("before-send.sagemaker-runtime.InvokeEndpoint", service.on_request)


@pytest.fixture
def bucket(function: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Service:
    """S3, asked by a client that the function makes anew."""
    service = Service()
    make = function._client.__wrapped__

    def client(name: str, seconds: float) -> Any:
        made = make(name, seconds)
        made.meta.events.register("before-send.s3.GetObject", service.on_request)
        return made

    monkeypatch.setattr(function, "_client", client)
    return service


def direct(image: bytes = JPEG, **fields: Any) -> dict[str, Any]:
    return {"image_base64": base64.b64encode(image).decode(), **fields}


def captured(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


def posted(content: bytes, content_type: str, **fields: Any) -> dict[str, Any]:
    """What a function URL makes of POST /predict."""
    event = captured("function_url_post")
    event["headers"]["content-type"] = content_type
    return {**event, "body": base64.b64encode(content).decode(), **fields}


def call(function: ModuleType, event: Any) -> tuple[int, Any]:
    """(status, body), after what holds for every answer in JSON."""
    answer = function.handler(event, CONTEXT)
    assert set(answer) == {"statusCode", "headers", "body"}
    assert answer["headers"]["Content-Type"] == "application/json"
    assert ("Retry-After" in answer["headers"]) == (answer["statusCode"] in (429, 503))
    return answer["statusCode"], json.loads(answer["body"])

"""The function's answers, with InvokeEndpoint's own answers and errors played back."""

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
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

JPEG = b"\xff\xd8\xff\xe0 a photograph"
CONTEXT = SimpleNamespace(aws_request_id="request-1")
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
MODEL_ERROR = "Received client error from primary; see account 123456789012"


@pytest.fixture(scope="module")
def function() -> Iterator[ModuleType]:
    """The module as Lambda imports it: from the root of the zip, with its environment set."""
    folder = Path(__file__).resolve().parents[2] / "lambda_function"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        for name, value in {
            "ENDPOINT_NAME": "dogs",
            "MODEL_TIMEOUT_SECONDS": "5",
            "ALLOWED_URL_HOSTS": "*",
            "ALLOWED_S3_PREFIXES": "s3://photographs/dogs/",
            "CORS_ORIGINS": "https://dogs.example",
            "METRIC_NAMESPACE": "dogs",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
        }.items():
            patch.setenv(name, value)
        yield importlib.import_module("handler")
        del sys.modules["handler"]


@pytest.fixture
def endpoint(function: ModuleType) -> Iterator[Stubber]:
    with Stubber(function._sagemaker) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def answers(endpoint: Stubber, attributes: object = ANY, content_type: str = "image/jpeg") -> None:
    body = json.dumps(ANSWER).encode()
    expected = {
        "EndpointName": "dogs",
        "ContentType": content_type,
        "Accept": "application/json",
        "CustomAttributes": attributes,
        "Body": ANY,
    }
    endpoint.add_response("invoke_endpoint", {"Body": StreamingBody(io.BytesIO(body), len(body))}, expected)


def event(image: bytes = JPEG, **fields: Any) -> dict[str, Any]:
    return {"image_base64": base64.b64encode(image).decode(), **fields}


def call(function: ModuleType, event: Any) -> tuple[int, Any]:
    answer = function.handler(event, CONTEXT)
    assert set(answer) == {"statusCode", "headers", "body"}
    assert answer["headers"]["Content-Type"] == "application/json"
    return answer["statusCode"], json.loads(answer["body"])


def test_breeds_come_back_likeliest_first(function: ModuleType, endpoint: Stubber) -> None:
    answers(endpoint, "id=request-1;top_k=5;output=probabilities")
    assert call(function, event()) == (
        200,
        {
            "predictions": [
                {"label": "016.Beagle", "probability": 0.75},
                {"label": "015.Basset_hound", "probability": 0.25},
            ],
            "low_confidence": False,
            "model": {"run_id": "run-1", "precision": "bf16"},
            "request_id": "request-1",
        },
    )


def test_logits_come_back_as_the_bare_rows_of_scores(function: ModuleType, endpoint: Stubber) -> None:
    answers(endpoint, "id=request-1;top_k=3;output=logits")
    assert call(function, event(top_k=3, output="logits")) == (200, [[0.5, 1.5]])


@pytest.mark.parametrize(
    ("start", "content_type"),
    [(b"\x89PNG\r\n\x1a\n", "image/png"), (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"), (JPEG, "image/jpeg")],
)
def test_the_type_is_told_from_the_bytes(
    function: ModuleType, endpoint: Stubber, start: bytes, content_type: str
) -> None:
    answers(endpoint, content_type=content_type)
    assert call(function, event(start))[0] == 200


@pytest.mark.parametrize(
    ("bad_event", "status", "code"),
    [
        (None, 400, "bad_request"),
        ([], 400, "bad_request"),
        ({}, 400, "bad_request"),
        ({"image_base64": 5}, 400, "bad_request"),
        ({"image_base64": "no base64!"}, 400, "bad_request"),
        ({"image_base64": "\u00fc"}, 400, "bad_request"),
        (event(top_k=0), 400, "bad_request"),
        (event(top_k=True), 400, "bad_request"),
        (event(top_k="5"), 400, "bad_request"),
        (event(output="pickle"), 400, "bad_request"),
        (event(output=["logits"]), 400, "bad_request"),
        (event(b"GIF89a"), 415, "unsupported_image"),
        (event(b""), 415, "unsupported_image"),
        (event(JPEG + bytes(4_500_000)), 413, "too_large"),
    ],
)
def test_bad_events_are_refused_before_the_endpoint_is_asked(
    function: ModuleType, endpoint: Stubber, bad_event: Any, status: int, code: str
) -> None:
    answered, body = call(function, bad_event)
    assert (answered, body["error"]["code"], body["request_id"]) == (status, code, "request-1")
    assert body["error"]["message"].endswith(".")


@pytest.mark.parametrize(
    ("service_code", "original", "words", "status", "code"),
    [
        ("ModelError", 400, '{"error": {"code": "bad_image", "message": "No image."}}', 400, "bad_image"),
        ("ModelError", 413, "not JSON", 413, "bad_image"),
        ("ModelError", 503, "", 503, "busy"),
        ("ModelError", 500, "Traceback of 123456789012", 502, "model_error"),
        ("ModelError", 0, "", 502, "model_error"),
        ("ValidationError", None, None, 503, "not_deployed"),
        ("ThrottlingException", None, None, 429, "throttled"),
        ("ServiceUnavailable", None, None, 503, "unavailable"),
        ("AccessDeniedException", None, None, 502, "model_error"),
    ],
)
def test_errors_of_the_endpoint_become_typed_answers(
    function: ModuleType,
    endpoint: Stubber,
    service_code: str,
    original: int | None,
    words: str | None,
    status: int,
    code: str,
) -> None:
    extra = {} if original is None else {"OriginalStatusCode": original, "OriginalMessage": words}
    endpoint.add_client_error("invoke_endpoint", service_code, MODEL_ERROR, modeled_fields=extra or None)
    answer = function.handler(event(), CONTEXT)
    body = json.loads(answer["body"])
    assert (answer["statusCode"], body["error"]["code"]) == (status, code)
    assert ("Retry-After" in answer["headers"]) == (status in (429, 503))
    assert "123456789012" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ReadTimeoutError(endpoint_url="https://runtime"), 504),
        (EndpointConnectionError(endpoint_url="https://runtime"), 502),
    ],
)
def test_a_model_that_is_silent_or_out_of_reach(
    function: ModuleType, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(function, "_sagemaker", SimpleNamespace(invoke_endpoint=fail))
    answered, body = call(function, event())
    assert answered == status
    assert "https://runtime" not in json.dumps(body)

"""The function's answers to every kind of event, with the endpoint and S3 answering on the wire."""

import base64
import hashlib
import json
import re
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from tests.lambda_function.conftest import CONTEXT, EVENTS, FOLDER, JPEG, Service, call, captured, direct, posted

PREDICTION = {
    "predictions": [
        {"label": "016.Beagle", "probability": 0.75},
        {"label": "015.Basset_hound", "probability": 0.25},
    ],
    "low_confidence": False,
    "model": {"run_id": "run-1", "precision": "bf16"},
}
IMAGE = base64.b64decode(captured("direct_image")["image_base64"])
# Where AWS's own words would lead a stranger.
ARN = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/the-endpoint:log-stream:primary/i-0abc"
WORDS = f'Received server error (500) from primary of the-endpoint. See {ARN} in account 123456789012.\nTraceback "x"'
SECRETS = re.compile(r"arn:|123456789012|the-endpoint|Traceback|log-stream|i-0abc|amazonaws|https?://")


def attributes(endpoint: Service) -> str:
    (request,) = endpoint.requests
    return str(request.headers["X-Amzn-SageMaker-Custom-Attributes"].decode())


def code_of(function: ModuleType, event: Any) -> tuple[int, str]:
    status, body = call(function, event)
    assert body["error"]["message"].endswith(".")
    return status, body["error"]["code"]


@pytest.mark.parametrize(
    ("name", "request_id", "top_k"),
    [
        ("direct_image", "nightly-7", 3),
        ("function_url_post", "order-66.photo-2", 3),
        ("http_api_form", CONTEXT.aws_request_id, 3),
        ("http_api_json", CONTEXT.aws_request_id, 3),
    ],
)
def test_every_captured_event_with_an_image_reaches_the_endpoint_as_the_image(
    function: ModuleType, endpoint: Service, name: str, request_id: str, top_k: int
) -> None:
    assert call(function, captured(name)) == (200, {**PREDICTION, "request_id": request_id})
    (request,) = endpoint.requests
    assert request.body == IMAGE
    assert request.headers["Content-Type"] == b"image/jpeg"
    assert attributes(endpoint) == f"id={request_id};top_k={top_k};output=probabilities"


def test_logits_come_back_as_the_bare_rows_of_scores(function: ModuleType, endpoint: Service) -> None:
    assert call(function, captured("direct_logits")) == (200, [[0.5, 1.5]])
    assert attributes(endpoint) == f"id={CONTEXT.aws_request_id};top_k=5;output=logits"


@pytest.mark.parametrize(
    ("start", "content_type"),
    [(b"\x89PNG\r\n\x1a\n", b"image/png"), (b"RIFF\x00\x00\x00\x00WEBP", b"image/webp"), (JPEG, b"image/jpeg")],
)
def test_the_type_is_told_from_the_bytes(
    function: ModuleType, endpoint: Service, start: bytes, content_type: bytes
) -> None:
    assert call(function, posted(start, "application/octet-stream"))[0] == 200
    assert endpoint.requests[0].headers["Content-Type"] == content_type


@pytest.mark.parametrize(
    ("event", "sent"),
    [
        (posted(base64.b64encode(JPEG), "text/plain"), JPEG),
        (posted(b"", "text/plain", body=direct()["image_base64"] + "\n", isBase64Encoded=False), JPEG),
        (posted(JPEG, "application/x-www-form-urlencoded"), JPEG),  # what curl says of whatever it posts
        (posted(JPEG, "image/jpeg", queryStringParameters={"top_k": "100", "other": "x"}), JPEG),
        (posted(json.dumps({"image_base64": "", **direct()}).encode(), "application/json; charset=utf-8"), JPEG),
    ],
)  # fmt: skip
def test_ways_of_posting_an_image(function: ModuleType, endpoint: Service, event: Any, sent: bytes) -> None:
    assert call(function, event)[0] == 200
    assert endpoint.requests[0].body == sent


def test_options_of_a_form_go_before_those_of_the_query(function: ModuleType, endpoint: Service) -> None:
    form = b'--x\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    body = form % (b"output", b"logits") + form % (b"image_base64", base64.b64encode(JPEG)) + b"--x--\r\n"
    event = posted(body, "multipart/form-data; boundary=x", queryStringParameters={"top_k": "7", "output": "other"})
    assert call(function, event) == (200, [[0.5, 1.5]])
    assert attributes(endpoint).endswith(";top_k=7;output=logits")


BAD_REQUESTS = [
    None, [], "event", {}, {"image_base64": 5}, {"image_base64": "no base64!"}, {"image_base64": "\u00fc"},
    {"image_base64": "\ud800"}, {"url": 5}, {"s3_uri": None}, {**direct(), "url": "https://images.example.com/"},
    direct(top_k=0), direct(top_k=101), direct(top_k=True), direct(top_k="5"), direct(top_k=5.0),
    direct(output="pickle"), direct(output=["logits"]), direct(output=None),
    posted(b"", "image/jpeg"), posted(JPEG, "image/jpeg", body=None), posted(JPEG, "image/jpeg", body="no base64!"),
    posted(JPEG, "image/jpeg", queryStringParameters={"top_k": "five"}),
    posted(JPEG, "image/jpeg", queryStringParameters={"output": "pickle"}),
    posted(b"{", "application/json"), posted(b"[]", "application/json"), posted(b"[" * 100_000, "application/json"),
    posted(b"\xff", "application/json"), posted(b"{}", "application/json"), posted(b"no base64!", "text/plain"),
    posted(b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x"), posted(b"", "multipart/form-data"),
    posted(JPEG, "multipart/form-data"), posted(b"a", "multipart/form-data; boundary=\u00fc"),
]  # fmt: skip


@pytest.mark.parametrize("event", BAD_REQUESTS)
def test_bad_events_are_refused_before_the_endpoint_is_asked(
    function: ModuleType, endpoint: Service, event: Any
) -> None:
    assert code_of(function, event) == (400, "bad_request")
    assert not endpoint.requests


@pytest.mark.parametrize("image", [b"GIF89a", b"", b"<svg/>", b"%PDF-1.7"])
def test_what_is_no_image_is_refused_before_the_endpoint_is_asked(
    function: ModuleType, endpoint: Service, image: bytes
) -> None:
    assert code_of(function, direct(image)) == (415, "unsupported_image")
    assert not endpoint.requests


def test_a_body_too_large_is_refused_before_it_is_sent(function: ModuleType, endpoint: Service) -> None:
    largest = JPEG.ljust(function.MAX_IMAGE_BYTES, b"\0")
    assert code_of(function, direct(largest + b"\0")) == (413, "too_large")
    assert not endpoint.requests
    assert call(function, posted(largest, "image/jpeg"))[0] == 200
    model = function._sagemaker.meta.service_model.operation_model("InvokeEndpoint")
    assert model.input_shape.members["Body"].metadata["max"] > function.MAX_IMAGE_BYTES


# What each error that the service's model knows becomes. A ModelError is told apart by the model's own status.
ROWS = {
    "InternalFailure": (503, "unavailable"),
    "ServiceUnavailable": (503, "unavailable"),
    "ValidationError": (503, "not_deployed"),
    "InternalDependencyException": (503, "unavailable"),
    "ModelNotReadyException": (503, "unavailable"),
}
# Errors that stand in no service model, because any call may meet them.
COMMON_ROWS = {
    "ValidationException": (400, 503, "not_deployed"),
    "ThrottlingException": (400, 429, "throttled"),
    "TooManyRequestsException": (429, 429, "throttled"),
    "AccessDeniedException": (400, 502, "model_error"),
    "ExpiredTokenException": (403, 502, "model_error"),
    "UnrecognizedClientException": (403, 502, "model_error"),
    "SomethingNewException": (418, 502, "model_error"),
}


def test_errors_of_the_endpoint_become_typed_answers(function: ModuleType, endpoint: Service) -> None:
    shapes = function._sagemaker.meta.service_model.operation_model("InvokeEndpoint").error_shapes
    errors = {shape.name: shape.metadata["error"]["httpStatusCode"] for shape in shapes}
    assert set(errors) == {*ROWS, "ModelError"}
    for name, row in ROWS.items():
        endpoint.requests.clear()
        endpoint.refuse(errors[name], name, Message=WORDS)
        answer = function.handler(direct(), CONTEXT)
        assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == row
        assert ("Retry-After" in answer["headers"]) == (row[0] == 503)
        assert not SECRETS.search(json.dumps(answer))
        assert len(endpoint.requests) == 1, "one attempt: a second would outlive the function"


@pytest.mark.parametrize("name", COMMON_ROWS)
def test_errors_that_any_service_knows(function: ModuleType, endpoint: Service, name: str) -> None:
    wire_status, *row = COMMON_ROWS[name]
    endpoint.refuse(wire_status, name, message=WORDS)
    assert list(code_of(function, direct())) == row
    assert not SECRETS.search(json.dumps(function.handler(direct(), CONTEXT)))
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    ("original", "words", "row"),
    [
        (400, '{"error": {"code": "undecodable_image", "message": "No image."}}', (400, "undecodable_image")),
        (413, '{"error": {"code": "image_too_large", "message": "Too large."}}', (413, "image_too_large")),
        (429, '{"error": {"code": "slow", "message": "Slower."}}', (429, "slow")),
        (415, WORDS, (415, "bad_image")),
        (422, '{"error": 5}', (422, "bad_image")),
        (499, '["error"]', (499, "bad_image")),
        (503, '{"error": {"code": "busy", "message": "Full."}}', (503, "busy")),
        (500, WORDS, (502, "model_error")),
        (502, WORDS, (502, "model_error")),
        (504, WORDS, (502, "model_error")),
        (0, "", (502, "model_error")),
        (None, None, (502, "model_error")),
    ],
)
def test_what_the_model_itself_answers(
    function: ModuleType, endpoint: Service, original: int | None, words: str | None, row: tuple[int, str]
) -> None:
    endpoint.refuse(
        424, "ModelError", Message=WORDS, OriginalStatusCode=original, OriginalMessage=words, LogStreamArn=ARN
    )
    assert code_of(function, direct()) == row
    assert not SECRETS.search(json.dumps(function.handler(direct(), CONTEXT)))


@pytest.mark.parametrize(
    ("error", "row"),
    [
        (ReadTimeoutError(endpoint_url="https://runtime"), (504, "timeout")),
        (ConnectTimeoutError(endpoint_url="https://runtime"), (504, "timeout")),
        (EndpointConnectionError(endpoint_url="https://runtime"), (502, "model_error")),
    ],
)
def test_a_model_that_is_silent_or_out_of_reach_is_asked_once(
    function: ModuleType, endpoint: Service, error: Exception, row: tuple[int, str]
) -> None:
    endpoint.answer = error
    assert code_of(function, direct()) == row
    assert not SECRETS.search(json.dumps(function.handler(direct(), CONTEXT)))
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize("answer", [b"", b"no JSON", b"[]", b"{}", b'{"predictions": [{"top": 5}]}', b"null"])
def test_an_answer_of_another_shape_is_the_model_s_error(
    function: ModuleType, endpoint: Service, answer: bytes
) -> None:
    endpoint.answer = (200, {}, answer)
    assert code_of(function, direct()) == (502, "model_error")


def test_a_fault_of_the_function_s_own_is_told_to_the_log_alone(
    function: ModuleType, endpoint: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(function, "_body", lambda *_: 1 / 0)
    assert call(function, direct(request_id="r-1")) == (
        500,
        {"error": {"code": "internal", "message": "The function failed."}, "request_id": "r-1"},
    )
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    "unfit", ["", "a b", "a;top_k=100", "a" * 65, "\u00fc", "a\r\nX-Other: b", 5, None, ["a"], "a\n"]
)
def test_a_request_id_that_could_break_out_of_the_attributes_is_replaced(
    function: ModuleType, endpoint: Service, unfit: Any
) -> None:
    assert call(function, direct(request_id=unfit))[1]["request_id"] == CONTEXT.aws_request_id
    event = posted(JPEG, "image/jpeg")
    event["headers"]["x-request-id"] = unfit
    answer = function.handler(event, CONTEXT)
    assert answer["headers"]["X-Request-Id"] == CONTEXT.aws_request_id
    assert {request.headers["X-Amzn-SageMaker-Custom-Attributes"].decode()[:40] for request in endpoint.requests} == {
        f"id={CONTEXT.aws_request_id};"
    }


def test_an_object_under_an_allowed_prefix_is_read(function: ModuleType, endpoint: Service, bucket: Service) -> None:
    bucket.answer = (200, {}, JPEG)
    assert call(function, captured("direct_s3"))[0] == 200
    assert endpoint.requests[0].body == JPEG
    assert bucket.requests[0].url.endswith("/dogs/rex.jpg")


@pytest.mark.parametrize(
    "uri",
    ["s3://photographs/cats/rex.jpg", "s3://photographs/dogs", "s3://photographs/dogs/../cats/rex.jpg",
     "s3://photographs.evil/dogs/rex.jpg", "s3://other/photographs/dogs/rex.jpg", "S3://photographs/dogs/rex.jpg",
     "https://photographs/dogs/rex.jpg", "", "s3://", "s3://photographs/dogs/./rex.jpg"],
)  # fmt: skip
def test_no_other_object_is_read(function: ModuleType, endpoint: Service, bucket: Service, uri: str) -> None:
    assert code_of(function, {"s3_uri": uri}) == (400, "s3_uri_refused")
    assert not bucket.requests


def test_why_an_object_cannot_be_read_is_told_to_the_log_alone(
    function: ModuleType, endpoint: Service, bucket: Service
) -> None:
    for code, status in (("AccessDenied", 403), ("NoSuchKey", 404), ("SlowDown", 503)):
        bucket.answer = (status, {}, f"<Error><Code>{code}</Code><Message>{WORDS}</Message></Error>".encode())
        assert code_of(function, captured("direct_s3")) == (422, "fetch_failed")
    bucket.answer = (200, {"Content-Length": "5000001"}, JPEG)
    assert code_of(function, captured("direct_s3")) == (413, "too_large")
    assert not endpoint.requests


def test_the_page_may_run_its_own_blocks_and_nothing_else(function: ModuleType) -> None:
    answer = function.handler(captured("function_url_page"), CONTEXT)
    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Type"] == "text/html; charset=utf-8"
    assert answer["headers"]["X-Content-Type-Options"] == "nosniff"
    policy = dict(part.strip().split(" ", 1) for part in answer["headers"]["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in answer["headers"]["Content-Security-Policy"]
    for kind, directive in (("style", "style-src"), ("script", "script-src")):
        (block,) = re.findall(rf"<{kind}>(.*?)</{kind}>", answer["body"], re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"


def test_health_asks_nobody(function: ModuleType, endpoint: Service) -> None:
    assert call(function, captured("function_url_health")) == (200, {"status": "ok"})
    assert not endpoint.requests


@pytest.mark.parametrize(
    ("method", "path", "row", "allow"),
    [
        ("GET", "/predict", (405, "method_not_allowed"), "POST, OPTIONS"),
        ("DELETE", "/", (405, "method_not_allowed"), "GET"),
        ("POST", "/health", (405, "method_not_allowed"), "GET"),
        ("GET", "/../handler.py", (404, "not_found"), None),
        ("POST", "/predict/", (404, "not_found"), None),
        (None, "/predict", (405, "method_not_allowed"), "POST, OPTIONS"),
    ],
)
def test_other_paths_and_methods(
    function: ModuleType, endpoint: Service, method: str | None, path: str, row: tuple[int, str], allow: str | None
) -> None:
    event = posted(JPEG, "image/jpeg", rawPath=path)
    event["requestContext"]["http"]["method"] = method
    assert code_of(function, event) == row
    assert function.handler(event, CONTEXT)["headers"].get("Allow") == allow
    assert not endpoint.requests


def test_only_exact_origins_may_read_the_answers(function: ModuleType, endpoint: Service) -> None:
    event = captured("function_url_preflight")
    preflight = function.handler(event, CONTEXT)
    assert preflight["statusCode"] == 204
    assert preflight["headers"]["Access-Control-Allow-Origin"] == "https://dogs.example.com"
    assert preflight["headers"]["Access-Control-Allow-Methods"] == "POST"
    assert preflight["headers"]["Vary"] == "Origin"
    for stranger in ("https://dogs.example.com.evil", "http://dogs.example.com", "null", "*", "", "https://dogs"):
        event["headers"]["origin"] = stranger
        assert not [name for name in function.handler(event, CONTEXT)["headers"] if name.endswith("-Origin")]
    event = captured("function_url_post")
    event["headers"]["Origin"] = "http://localhost:8000"
    assert function.handler(event, CONTEXT)["headers"]["Access-Control-Allow-Origin"] == "http://localhost:8000"


def test_each_request_leaves_one_line_that_cloudwatch_reads_as_metrics(
    function: ModuleType, endpoint: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    call(function, direct(request_id="r-1"))
    endpoint.refuse(424, "ModelError", OriginalStatusCode=503, OriginalMessage="")
    call(function, direct(request_id="r-2"))
    call(function, {"request_id": "r-3"})
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["id"], line["status"], line["Outcome"]) for line in lines] == [
        ("r-1", 200, "ok"), ("r-2", 503, "busy"), ("r-3", 400, "bad_request"),
    ]  # fmt: skip
    for line in lines:
        latencies, requests = line["_aws"]["CloudWatchMetrics"]
        assert latencies["Namespace"] == requests["Namespace"] == "dogbreed-test"
        assert (latencies["Dimensions"], requests["Dimensions"]) == ([[]], [["Outcome"]])
        assert requests["Metrics"] == [{"Name": "Requests", "Unit": "Count"}]
        for metric in latencies["Metrics"]:
            assert metric["Unit"] == "Milliseconds"
            assert 0 <= line[metric["Name"]] <= line["TotalMilliseconds"]
    names = [{metric["Name"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]} for line in lines]
    assert names == [
        {"ModelMilliseconds", "TotalMilliseconds"},
        {"ModelMilliseconds", "TotalMilliseconds"},
        {"TotalMilliseconds"},
    ]


def test_the_captured_events_are_all_answered(function: ModuleType, endpoint: Service, bucket: Service) -> None:
    bucket.answer = (200, {}, JPEG)
    for path in EVENTS.glob("*.json"):
        if path.stem != "direct_url":  # tests/lambda_function/test_fetch.py
            assert function.handler(captured(path.stem), CONTEXT)["statusCode"] in (200, 204)


def test_fetch_and_model_together_end_before_lambda_ends_the_function(function: ModuleType) -> None:
    import fetch  # lambda_function/fetch.py, on the path as long as the function is

    text = (FOLDER.parent / "terraform" / "modules" / "function" / "function.tf").read_text()
    (left_seconds,) = re.findall(r"MODEL_TIMEOUT_SECONDS = var.timeout_seconds - (\d+)", text)
    config = function._sagemaker.meta.config
    assert config.retries["total_max_attempts"] == 1
    assert config.read_timeout == function.MODEL_TIMEOUT_SECONDS
    slowest_source = max(fetch.MAX_SECONDS, config.connect_timeout + function.S3_TIMEOUT_SECONDS)
    assert slowest_source + config.connect_timeout < int(left_seconds)

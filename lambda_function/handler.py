"""The front door of the endpoint: an event with an image in it becomes one InvokeEndpoint call and a typed answer.

Directly: {"image_base64"} or {"url"} or {"s3_uri"}, with "top_k", "output", "request_id". By function URL or HTTP API:
POST /predict, GET /health, and GET / for the page. docs/api.md has the contract.

What is rare is imported where it is needed: Lambda compiles all that it imports each time it starts an environment.
"""

import base64
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError

from refusal import RefusedError, bad_request

ENDPOINT_NAME = os.environ["ENDPOINT_NAME"]
MODEL_TIMEOUT_SECONDS = float(os.environ["MODEL_TIMEOUT_SECONDS"])
ALLOWED_URL_HOSTS = os.environ["ALLOWED_URL_HOSTS"].split()
ALLOWED_S3_PREFIXES = tuple(os.environ["ALLOWED_S3_PREFIXES"].split())
METRIC_NAMESPACE = os.environ["METRIC_NAMESPACE"]

MAX_IMAGE_BYTES = 5_000_000  # below what an endpoint takes; Lambda itself takes somewhat less in an event
MAX_TOP_K = 100
RETRY_AFTER_SECONDS = "2"
S3_TIMEOUT_SECONDS = 4

Row = tuple[int, str, str]  # status, code for programs, sentence for people

# Every error of InvokeEndpoint by its code, a model's own 5xx by its status. Whatever is not here is MODEL_ERROR; a
# model's own 4xx goes to the caller in the model's words. AWS's words never do: they name account and log stream.
MODEL_ERROR: Row = (502, "model_error", "The model failed to answer.")
_NOT_DEPLOYED: Row = (503, "not_deployed", "No model is deployed.")
_THROTTLED: Row = (429, "throttled", "Too many requests: try again in a moment.")
_UNAVAILABLE: Row = (503, "unavailable", "The model is not available: try again in a moment.")
ENDPOINT_ERRORS: dict[str | int, Row] = {
    503: (503, "busy", "The model is busy: try again in a moment."),
    "ValidationError": _NOT_DEPLOYED,
    "ValidationException": _NOT_DEPLOYED,
    "ThrottlingException": _THROTTLED,
    "TooManyRequestsException": _THROTTLED,
    "ModelNotReadyException": _UNAVAILABLE,
    "ServiceUnavailable": _UNAVAILABLE,
    "InternalFailure": _UNAVAILABLE,
    "InternalDependencyException": _UNAVAILABLE,
}

_CONTENT_TYPES = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"RIFF", "image/webp"))
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # nothing that could end it in the endpoint's attributes

log = logging.getLogger(__name__)
_session = botocore.session.get_session()


@cache
def _client(service: str, read_timeout_seconds: float) -> Any:
    """One attempt: a retry would need a second timeout's worth of the function's own time."""
    retries = {"total_max_attempts": 1}
    config = Config(connect_timeout=1, read_timeout=read_timeout_seconds, retries=retries, tcp_keepalive=True)
    return _session.create_client(service, config=config)


# Made once, outside the handler, so that a warm invocation reuses its connection.
_sagemaker = _client("sagemaker-runtime", MODEL_TIMEOUT_SECONDS)


def handler(event: Any, context: Any) -> dict[str, Any]:
    started = time.perf_counter()
    event = event if isinstance(event, dict) else {}
    request = _web_request(event)
    wanted_id = request.headers.get("x-request-id") if request else event.get("request_id")
    is_id = isinstance(wanted_id, str) and _REQUEST_ID.fullmatch(wanted_id)
    request_id = wanted_id if is_id else context.aws_request_id
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Request-Id": request_id}
    spent: dict[str, float] = {}
    try:
        if request and (page := request.answer_without_model(headers)) is not None:
            return {"statusCode": 200 if page else 204, "headers": headers, "body": page}
        image, fields = request.read() if request else (None, event)
        answer, status, outcome = _predict(image, fields, request_id, spent), 200, "ok"
    except Exception as error:
        if not isinstance(error, RefusedError):
            # The caller learns nothing of our insides; whoever reads the log learns everything.
            log.exception("failed", extra={"id": request_id})
            error = RefusedError(500, "internal", "The function failed.")
        status, outcome = error.status, error.code
        answer = {"error": {"code": error.code, "message": error.message}, "request_id": request_id}
    if status in (429, 503):
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    spent["TotalMilliseconds"] = (time.perf_counter() - started) * 1000
    _record(request_id, status, outcome, spent)
    return {"statusCode": status, "headers": headers, "body": json.dumps(answer)}


def _web_request(event: dict[str, Any]) -> Any:
    """The event as the request that it carries, or None where it came by direct invocation."""
    context = event.get("requestContext")
    if not isinstance(context, dict) or not isinstance(context.get("http"), dict):
        return None
    from web import WebRequest

    return WebRequest(event)


def _predict(image: bytes | None, fields: dict[str, Any], request_id: str, spent: dict[str, float]) -> Any:
    """The body of the answer; where time went is added to `spent`. Raises RefusedError."""
    top_k, output = fields.get("top_k", 5), fields.get("output", "probabilities")
    if type(top_k) is not int or not 1 <= top_k <= MAX_TOP_K:
        raise bad_request(f'"top_k" must be a whole number from 1 to {MAX_TOP_K}.')
    if output not in ("probabilities", "logits"):
        raise bad_request('"output" must be "probabilities" or "logits".')
    if image is None:
        image = _image(fields, spent)
    if len(image) > MAX_IMAGE_BYTES:
        raise RefusedError(413, "too_large", f"The image has {len(image)} bytes; at most {MAX_IMAGE_BYTES} are taken.")
    content_type = next((kind for start, kind in _CONTENT_TYPES if image.startswith(start)), None)
    if content_type is None:
        raise RefusedError(415, "unsupported_image", "The image is neither JPEG, PNG nor WEBP.")
    with _timed("ModelMilliseconds", spent):
        answer = _invoke_endpoint(image, content_type, f"id={request_id};top_k={top_k};output={output}")
    return _body(answer, output, request_id)


def _image(fields: dict[str, Any], spent: dict[str, float]) -> bytes:
    """The image that an event carries or points at. Raises RefusedError."""
    match [(name, fields[name]) for name in ("image_base64", "url", "s3_uri") if name in fields]:
        case [("image_base64", str(text))]:
            try:
                return base64.b64decode(text, validate=True)
            except ValueError:
                raise bad_request('"image_base64" is not base64.') from None
        case [("url", str(url))]:
            with _timed("FetchMilliseconds", spent):
                from fetch import fetch

                return fetch(url, ALLOWED_URL_HOSTS)
        case [("s3_uri", str(uri))]:
            with _timed("FetchMilliseconds", spent):
                return _read_s3(uri)
    raise bad_request('Send one image: in "image_base64", or where it is in "url" or "s3_uri".')


def _read_s3(uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith(ALLOWED_S3_PREFIXES) or not key or {".", ".."} & set(key.split("/")):
        raise RefusedError(400, "s3_uri_refused", "Images are not read from this S3 URI.")
    try:
        found = _client("s3", S3_TIMEOUT_SECONDS).get_object(Bucket=bucket, Key=key)
        if found["ContentLength"] > MAX_IMAGE_BYTES:
            raise RefusedError(413, "too_large", f"The object has more than {MAX_IMAGE_BYTES} bytes.")
        image: bytes = found["Body"].read()
    except (BotoCoreError, ClientError):
        log.warning("no object", exc_info=True)
        raise RefusedError(422, "fetch_failed", "The S3 object cannot be read.") from None
    return image


def _invoke_endpoint(image: bytes, content_type: str, attributes: str) -> Any:
    try:
        response = _sagemaker.invoke_endpoint(
            EndpointName=ENDPOINT_NAME,
            ContentType=content_type,
            Accept="application/json",
            CustomAttributes=attributes,
            Body=image,
        )
        return json.loads(response["Body"].read())
    except ClientError as error:
        raise _refusal(error) from None
    except (ConnectTimeoutError, ReadTimeoutError):
        raise RefusedError(504, "timeout", f"The model did not answer within {MODEL_TIMEOUT_SECONDS:g} s.") from None
    except (BotoCoreError, ValueError):
        log.exception("invoke failed")
        raise RefusedError(*MODEL_ERROR) from None


def _refusal(error: ClientError) -> RefusedError:
    code, original = error.response["Error"]["Code"], error.response.get("OriginalStatusCode", 0)
    if code == "ModelError" and 400 <= original < 500:
        try:  # in the endpoint's own words, which it writes for callers to read
            words = json.loads(error.response["OriginalMessage"])["error"]
            return RefusedError(original, str(words["code"]), str(words["message"]))
        except (KeyError, TypeError, ValueError):
            return RefusedError(original, "bad_image", "The model refused the image.")
    log.error("invoke refused", extra={"code": code, "original_status": original})
    return RefusedError(*ENDPOINT_ERRORS.get(original if code == "ModelError" else code, MODEL_ERROR))


def _body(answer: Any, output: str, request_id: str) -> Any:
    try:
        prediction = answer["predictions"][0]
        if output == "logits":
            return [prediction["logits"]]
        return {
            "predictions": [{"label": item["label"], "probability": item["probability"]} for item in prediction["top"]],
            "low_confidence": prediction["low_confidence"],
            "model": answer["model"],
            "request_id": request_id,
        }
    except (LookupError, TypeError):
        log.exception("the model's answer has another shape")
        raise RefusedError(*MODEL_ERROR) from None


@contextmanager
def _timed(name: str, spent: dict[str, float]) -> Iterator[None]:
    """Add the milliseconds of a stage also where it fails."""
    started = time.perf_counter()
    try:
        yield
    finally:
        spent[name] = (time.perf_counter() - started) * 1000


def _record(request_id: str, status: int, outcome: str, spent: dict[str, float]) -> None:
    """One line for the log and for CloudWatch's metrics (embedded metric format), which reads none that a logger wrote.

    By outcome only the count: each combination of a metric and a dimension is billed as a metric of its own.
    """
    latencies = [{"Name": name, "Unit": "Milliseconds"} for name in spent]
    requests = [{"Name": "Requests", "Unit": "Count"}]
    metrics = [
        {"Namespace": METRIC_NAMESPACE, "Dimensions": [[]], "Metrics": latencies},
        {"Namespace": METRIC_NAMESPACE, "Dimensions": [["Outcome"]], "Metrics": requests},
    ]
    line = {"id": request_id, "status": status, "Outcome": outcome, "Requests": 1, **spent}
    print(json.dumps({"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": metrics}, **line}))

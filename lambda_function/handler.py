"""The front door of the endpoint: an event with an image in it becomes one InvokeEndpoint call and a typed answer.

Direct invocation: {"image_base64": "…", "top_k": 5, "output": "probabilities" | "logits"}. The answer is always
{"statusCode", "headers", "body"}; the body is JSON text: {"predictions": [{"label", "probability"}],
"low_confidence", "model", "request_id"}, with "output": "logits" the raw scores [[…]], one per class, and on an error
{"error": {"code", "message"}, "request_id"}.
"""

import base64
import json
import logging
import os
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError

ENDPOINT_NAME = os.environ["ENDPOINT_NAME"]
MODEL_TIMEOUT_SECONDS = float(os.environ["MODEL_TIMEOUT_SECONDS"])

MAX_IMAGE_BYTES = 4_500_000  # base64 of it still fits the 6 MB of a synchronous invocation
MAX_TOP_K = 100
RETRY_AFTER_SECONDS = "2"

_CONTENT_TYPES = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"RIFF", "image/webp"))

log = logging.getLogger(__name__)

# Made once, outside the handler, so that a warm invocation reuses its connection. One attempt: a retry would need a
# second timeout's worth of the function's own time.
_sagemaker = botocore.session.get_session().create_client(
    "sagemaker-runtime",
    config=Config(
        connect_timeout=1, read_timeout=MODEL_TIMEOUT_SECONDS, retries={"total_max_attempts": 1}, tcp_keepalive=True
    ),
)


class RefusedError(Exception):
    """An answer that is not a prediction: its status, code and message go to the caller as they are."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def handler(event: Any, context: Any) -> dict[str, Any]:
    request_id = context.aws_request_id
    try:
        image, top_k, output = _read_event(event)
        answer = _invoke_endpoint(image, f"id={request_id};top_k={top_k};output={output}")
        status, body = 200, _body(answer, output, request_id)
    except RefusedError as error:
        status = error.status
        body = {"error": {"code": error.code, "message": error.message}, "request_id": request_id}
    log.info("answered", extra={"status": status})
    headers = {"Content-Type": "application/json"}
    if status in (429, 503):
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}


def _read_event(event: Any) -> tuple[bytes, int, str]:
    """(image bytes, top_k, output) of a direct invocation. Raises RefusedError."""
    if not isinstance(event, dict) or not isinstance(event.get("image_base64"), str):
        raise RefusedError(400, "bad_request", 'Send a JSON object with the image in "image_base64".')
    try:
        image = base64.b64decode(event["image_base64"], validate=True)
    except ValueError:
        raise RefusedError(400, "bad_request", '"image_base64" is not base64.') from None
    if len(image) > MAX_IMAGE_BYTES:
        raise RefusedError(413, "too_large", f"The image has {len(image)} bytes; at most {MAX_IMAGE_BYTES} are taken.")
    top_k, output = event.get("top_k", 5), event.get("output", "probabilities")
    if type(top_k) is not int or not 1 <= top_k <= MAX_TOP_K:
        raise RefusedError(400, "bad_request", f'"top_k" must be a whole number from 1 to {MAX_TOP_K}.')
    if output not in ("probabilities", "logits"):
        raise RefusedError(400, "bad_request", '"output" must be "probabilities" or "logits".')
    return image, top_k, output


def _invoke_endpoint(image: bytes, attributes: str) -> dict[str, Any]:
    content_type = next((kind for start, kind in _CONTENT_TYPES if image.startswith(start)), None)
    if content_type is None:
        raise RefusedError(415, "unsupported_image", "The image is neither JPEG, PNG nor WEBP.")
    try:
        response = _sagemaker.invoke_endpoint(
            EndpointName=ENDPOINT_NAME,
            ContentType=content_type,
            Accept="application/json",
            CustomAttributes=attributes,
            Body=image,
        )
        answer: dict[str, Any] = json.loads(response["Body"].read())
    except ClientError as error:
        raise _refusal(error) from None
    except (ConnectTimeoutError, ReadTimeoutError):
        raise RefusedError(504, "timeout", f"The model did not answer within {MODEL_TIMEOUT_SECONDS:g} s.") from None
    except (BotoCoreError, ValueError):
        log.exception("invoke failed")
        raise RefusedError(502, "model_error", "The model could not be reached.") from None
    return answer


def _refusal(error: ClientError) -> RefusedError:
    """What the caller is told about an error of InvokeEndpoint: never AWS's own text, which names the account."""
    code, original = error.response["Error"]["Code"], error.response.get("OriginalStatusCode", 0)
    if code == "ModelError" and 400 <= original < 500:
        return RefusedError(original, *_model_words(error))
    if code == "ModelError" and original == 503:
        return RefusedError(503, "busy", "The model is busy: try again in a moment.")
    log.error("invoke refused", extra={"code": code, "original_status": original})
    if code in ("ValidationError", "ValidationException"):
        return RefusedError(503, "not_deployed", "No model is deployed.")
    if code in ("ThrottlingException", "TooManyRequestsException"):
        return RefusedError(429, "throttled", "Too many requests: try again in a moment.")
    if code in ("ServiceUnavailable", "InternalFailure", "ModelNotReadyException"):
        return RefusedError(503, "unavailable", "The model is not available: try again in a moment.")
    return RefusedError(502, "model_error", "The model failed to answer.")


def _model_words(error: ClientError) -> tuple[str, str]:
    """The endpoint's own (code, message), which it writes for callers to read."""
    try:
        words = json.loads(error.response["OriginalMessage"])["error"]
        return words["code"], words["message"]
    except (KeyError, TypeError, ValueError):
        return "bad_image", "The model refused the image."


def _body(answer: dict[str, Any], output: str, request_id: str) -> Any:
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
        raise RefusedError(502, "model_error", "The model failed to answer.") from None

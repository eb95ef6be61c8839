"""The four handlers of the SageMaker inference contract: bytes in, breeds out.

`inference.serve` runs them; so does AWS's own `sagemaker-inference` toolkit, from the artifact's `code/` folder and by
`transform_fn`. The toolkit counts parameters to tell who wants a context, so the signatures must stay as they are.
"""

import base64
import csv
import io
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.artifact import GRAPH_NAME, ArtifactError, Manifest, read_artifact
from inference.engine import Engine, usable_precision
from inference.preprocess import ImageError, ImageTooLargeError, Preprocess, check_together

IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")
JSON_TYPE, CSV_TYPE = "application/json", "text/csv"
OUTPUTS = ("probabilities", "logits")
DEFAULT_TOP_K = 5
MAX_INSTANCES = 16
# Probabilities are calibrated on validation images, so below one half the model is more likely wrong than right.
LOW_CONFIDENCE_BELOW = 0.5

logger = logging.getLogger("inference")


class RequestError(Exception):
    """A request that cannot be answered: an HTTP status, a code for programs and one sentence for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message

    def to_json(self) -> str:
        """The one body in which errors leave."""
        return json.dumps({"error": {"code": self.code, "message": self.message}})


@dataclass(frozen=True)
class Request:
    """One or more encoded images and what to answer about each."""

    images: tuple[bytes, ...]
    top_k: int = DEFAULT_TOP_K
    output: str = OUTPUTS[0]


@dataclass(frozen=True)
class Model:
    """A verified artifact, ready to answer. `why` is why the engine has its precision."""

    manifest: Manifest
    preprocess: Preprocess
    engine: Engine
    why: str

    def describe(self) -> dict[str, str]:
        """Which model answers, and the precision that really runs."""
        return {"run_id": self.manifest.run_id, "precision": self.engine.precision}


def model_fn(model_dir: str | Path, context: object = None) -> Model:
    """Verify and load the artifact in `model_dir`.

    When the environment has MODEL_MANIFEST_SHA256, the artifact must be exactly that release.

    Raises:
        ArtifactError: it is damaged, another release, or too new.
    """
    manifest = read_artifact(Path(model_dir), os.environ.get("MODEL_MANIFEST_SHA256"))
    precision, why = usable_precision(manifest.precision)
    try:
        engine = Engine(Path(model_dir) / GRAPH_NAME, precision)
        outputs = engine(np.zeros((1, manifest.input.size, manifest.input.size, 3), dtype=np.uint8))
    except RuntimeError:
        raise ArtifactError(f"OpenVINO cannot run the artifact's {GRAPH_NAME}.") from None
    if outputs.shape != (1, len(manifest.classes)):
        raise ArtifactError(f"The graph answers {outputs.shape[1]} scores for {len(manifest.classes)} classes.")
    return Model(manifest, Preprocess(manifest.input), engine, why)


def input_fn(body: bytes | bytearray | str, content_type: str) -> Request:
    """Read a request body: an image file, or JSON `{"instances": [{"image_base64": …}], "top_k", "output"}`.

    Raises:
        RequestError: 400 for a malformed body, 415 for another content type.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in IMAGE_TYPES:
        return Request((body.encode() if isinstance(body, str) else bytes(body),))
    if media_type == JSON_TYPE:
        return parse_json(body)
    accepted = ", ".join((*IMAGE_TYPES, JSON_TYPE))
    raise RequestError(415, "unsupported_content_type", f"The content type must be one of {accepted}.")


def predict_fn(request: Request, model: Model) -> dict[str, Any]:
    """Answer a request: `{"predictions": [{"top", "low_confidence"(, "logits")}], "model": {…}}`.

    Raises:
        RequestError: 400 when an image cannot be decoded, 413 when it has too many pixels.
    """
    return answer(request, model, model.engine(decode(request, model)))


def decode(request: Request, model: Model) -> NDArray[np.uint8]:
    """The pixels of a request's images, [n, size, size, 3]. Raises RequestError as `predict_fn`."""
    try:
        if len(request.images) > 1:
            check_together(request.images)
        return np.stack([model.preprocess(image) for image in request.images])
    except ImageTooLargeError as error:
        raise RequestError(413, "image_too_large", str(error)) from None
    except ImageError as error:
        raise RequestError(400, "undecodable_image", str(error)) from None


def answer(request: Request, model: Model, logits: NDArray[np.float32]) -> dict[str, Any]:
    """What `predict_fn` answers, from the logits [n, classes] of the request's images."""
    classes = model.manifest.classes
    predictions: list[dict[str, Any]] = []
    for row, probabilities in zip(logits, softmax(logits / model.manifest.temperature), strict=True):
        likeliest = np.argsort(-probabilities, kind="stable")[: request.top_k]
        top = [{"label": classes[i], "index": int(i), "probability": float(probabilities[i])} for i in likeliest]
        prediction = {"top": top, "low_confidence": bool(probabilities[likeliest[0]] < LOW_CONFIDENCE_BELOW)}
        if request.output == "logits":
            prediction["logits"] = row.tolist()
        predictions.append(prediction)
    return {"predictions": predictions, "model": model.describe()}


def output_fn(prediction: dict[str, Any], accept: str) -> tuple[str, str]:
    """Write the answer in the first type of `accept` that is on offer, and say which.

    CSV has one line per image: its logits where they were asked for, else label, probability, label, probability …

    Raises:
        RequestError: 406 when neither JSON nor CSV is acceptable.
    """
    for choice in accept.split(",") if accept.strip() else ["*/*"]:
        media_type = choice.partition(";")[0].strip().lower()
        if media_type in (JSON_TYPE, "*/*", "application/*"):
            return json.dumps(prediction), JSON_TYPE
        if media_type in (CSV_TYPE, "text/*"):
            return to_csv(prediction), CSV_TYPE
    raise RequestError(406, "not_acceptable", f"The answer comes as {JSON_TYPE} or {CSV_TYPE}.")


def transform_fn(
    model: Model, body: bytes | bytearray | str, content_type: str | None, accept: str, context: Any
) -> tuple[str, str]:
    """A whole request for AWS's toolkit: the other three in one, and refusals answered as `inference.serve` does.

    Whatever is raised, errors of its own kind too, the toolkit answers with a traceback. `context` is its way to set
    the status.
    """
    try:
        return output_fn(predict_fn(input_fn(body, content_type or ""), model), accept)
    except Exception as error:
        if not isinstance(error, RequestError):
            # As in our own process: the caller learns nothing of our insides, whoever reads the log everything.
            logger.exception("A request failed.")
            error = RequestError(500, "internal", "The model server failed.")
        context.set_response_status(error.status, HTTPStatus(error.status).phrase)
        return error.to_json(), JSON_TYPE


def parse_json(body: bytes | bytearray | str) -> Request:
    """Read the JSON form of a request. Raises RequestError 400."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise bad_request("The body is not valid JSON.") from None
    instances = content.get("instances") if isinstance(content, dict) else None
    if not isinstance(instances, list) or not 1 <= len(instances) <= MAX_INSTANCES:
        raise bad_request(f'The body needs "instances", a list of 1 to {MAX_INSTANCES} images.')
    return Request(tuple(decode_instance(instance) for instance in instances), **parse_options(content))


def decode_instance(instance: object) -> bytes:
    """Decode one `{"image_base64": …}`. Raises RequestError 400."""
    encoded = instance.get("image_base64") if isinstance(instance, dict) else None
    if not isinstance(encoded, str):
        raise bad_request('Each instance needs "image_base64", a string.')
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError:
        raise bad_request('"image_base64" is not valid base64.') from None


def parse_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """`top_k` and `output` where they are given, as fields of `Request`. Raises RequestError 400."""
    options = {key: given[key] for key in ("top_k", "output") if key in given}
    top_k = options.get("top_k", DEFAULT_TOP_K)
    if type(top_k) is not int or top_k < 1:
        raise bad_request('"top_k" must be a whole number of at least 1.')
    if options.get("output", OUTPUTS[0]) not in OUTPUTS:
        raise bad_request(f'"output" must be one of {", ".join(OUTPUTS)}.')
    return options


def to_csv(prediction: dict[str, Any]) -> str:
    """The answer as CSV, one line per image."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    for one in prediction["predictions"]:
        pairs = [value for entry in one["top"] for value in (entry["label"], entry["probability"])]
        writer.writerow(one.get("logits", pairs))
    return lines.getvalue()


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities of shape [n, classes]; float64, so that they add up to 1 as closely as JSON can say it."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def bad_request(message: str) -> RequestError:
    """A 400 for a body that does not follow the contract."""
    return RequestError(400, "bad_request", message)

"""The four handlers: what they accept, what they answer, and how they refuse."""

import base64
import csv
import json
import math
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inference
from inference import inference as handlers
from inference.artifact import ArtifactError, Manifest, seal
from inference.inference import (
    MAX_INSTANCES,
    Model,
    RequestError,
    input_fn,
    model_fn,
    output_fn,
    predict_fn,
    softmax,
    transform_fn,
)


def json_body(*images: bytes, **options: object) -> bytes:
    instances = [{"image_base64": base64.b64encode(image).decode()} for image in images]
    return json.dumps({"instances": instances, **options}).encode()


def answer(model: Model, body: bytes | str, content_type: str, accept: str = "application/json") -> Any:
    text, media_type = output_fn(predict_fn(input_fn(body, content_type), model), accept)
    return json.loads(text) if media_type == "application/json" else list(csv.reader(text.splitlines()))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_an_image_is_answered_with_its_likeliest_classes(
    model: Model, picture: Callable[..., bytes], format: str
) -> None:
    found = answer(model, picture("lime", format=format), f"image/{format.lower()}")
    (prediction,) = found["predictions"]
    assert found["model"] == {"run_id": "run-1", "precision": "fp32"}
    assert (prediction["top"][0]["label"], prediction["top"][0]["index"]) == ("green", 1)
    assert prediction["low_confidence"] is False
    assert "logits" not in prediction
    probabilities = [entry["probability"] for entry in prediction["top"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)  # four classes, and the default is five


def test_probabilities_have_the_temperature_and_logits_have_not(model: Model, picture: Callable[..., bytes]) -> None:
    body = json_body(picture("red"), output="logits", top_k=1)
    (prediction,) = answer(model, body, "application/json")["predictions"]
    logits = prediction["logits"]
    assert logits == pytest.approx([255 / 16, 0, 0, 2], abs=1e-3)
    expected = math.exp(logits[0] / 2) / sum(math.exp(value / 2) for value in logits)
    assert prediction["top"][0]["probability"] == pytest.approx(expected)
    assert len(prediction["top"]) == 1


def test_several_images_are_answered_in_their_order(model: Model, picture: Callable[..., bytes]) -> None:
    colours = ["red", "blue", "black", "lime"]
    body = json_body(*(picture(colour) for colour in colours), top_k=2)
    predictions = answer(model, body, "application/json; charset=utf-8")["predictions"]
    assert [prediction["top"][0]["label"] for prediction in predictions] == ["red", "blue", "dark", "green"]
    assert {len(prediction["top"]) for prediction in predictions} == {2}


def test_an_unsure_answer_says_so(model: Model, picture: Callable[..., bytes]) -> None:
    (prediction,) = answer(model, picture("#808080"), "image/png")["predictions"]
    assert prediction["top"][0]["probability"] < 0.5
    assert prediction["low_confidence"] is True


def test_csv_has_a_line_for_each_image(model: Model, picture: Callable[..., bytes]) -> None:
    body = json_body(picture("red"), picture("blue"), top_k=2)
    rows = answer(model, body, "application/json", "text/csv")
    assert [row[0] for row in rows] == ["red", "blue"]
    assert [len(row) for row in rows] == [4, 4]
    body = json_body(picture("red"), output="logits")
    (row,) = answer(model, body, "application/json", "text/csv")
    assert [float(value) for value in row] == pytest.approx([255 / 16, 0, 0, 2], abs=1e-3)


@pytest.mark.parametrize(
    "accept", ["", "*/*", "application/json", "text/html, application/*;q=0.9", "application/JSON"]
)
def test_json_is_what_most_callers_get(model: Model, picture: Callable[..., bytes], accept: str) -> None:
    assert "predictions" in answer(model, picture("red"), "image/png", accept)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"x", "text/plain", 415, "unsupported_content_type"),
        (b"x", "", 415, "unsupported_content_type"),
        (b"x", "image/gif", 415, "unsupported_content_type"),
        (b"{", "application/json", 400, "bad_request"),
        (b"\xff\xfe", "application/json", 400, "bad_request"),
        (b"[" * 100_000, "application/json", 400, "bad_request"),
        (b"[]", "application/json", 400, "bad_request"),
        (b"{}", "application/json", 400, "bad_request"),
        (b'{"instances": []}', "application/json", 400, "bad_request"),
        (b'{"instances": [{}]}', "application/json", 400, "bad_request"),
        (b'{"instances": [7]}', "application/json", 400, "bad_request"),
        (b'{"instances": [{"image_base64": "&&&"}]}', "application/json", 400, "bad_request"),
        (b'{"instances": [{"image_base64": "\xc3\xa4"}]}', "application/json", 400, "bad_request"),
        (b'{"instances": [{"image_base64": ""}]}', "application/json", 400, "undecodable_image"),
        (b"not an image", "image/jpeg", 400, "undecodable_image"),
        (json_body(*[b"x"] * (MAX_INSTANCES + 1)), "application/json", 400, "bad_request"),
        (json_body(b"x", top_k=0), "application/json", 400, "bad_request"),
        (json_body(b"x", top_k=True), "application/json", 400, "bad_request"),
        (json_body(b"x", top_k="5"), "application/json", 400, "bad_request"),
        (json_body(b"x", output="everything"), "application/json", 400, "bad_request"),
        (json_body(b"x", output=["logits"]), "application/json", 400, "bad_request"),
    ],
)
def test_refusals_are_typed(model: Model, body: bytes, content_type: str, status: int, code: str) -> None:
    with pytest.raises(RequestError) as refusal:
        answer(model, body, content_type)
    assert (refusal.value.status, refusal.value.code) == (status, code)
    assert refusal.value.message.endswith(".")
    assert "/" not in refusal.value.message.replace("image/", "").replace("application/", "")


def test_too_many_pixels_are_413(model: Model, picture: Callable[..., bytes]) -> None:
    with pytest.raises(RequestError) as refusal:
        answer(model, picture("red", size=(5001, 5000)), "image/png")
    assert (refusal.value.status, refusal.value.code) == (413, "image_too_large")


def test_an_answer_nobody_can_write_is_406(model: Model, picture: Callable[..., bytes]) -> None:
    with pytest.raises(RequestError) as refusal:
        answer(model, picture("red"), "image/png", "image/png")
    assert (refusal.value.status, refusal.value.code) == (406, "not_acceptable")


def test_only_the_named_release_loads(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_MANIFEST_SHA256", "f" * 64)
    with pytest.raises(ArtifactError, match="the release names"):
        model_fn(model_dir)


def test_a_graph_for_other_classes_is_refused(model_dir: Path, manifest: Manifest) -> None:
    object.__setattr__(manifest, "classes", ("red", "green"))
    seal(model_dir, manifest)
    with pytest.raises(ArtifactError, match="4 scores for 2 classes"):
        model_fn(model_dir)


def test_a_graph_that_is_no_graph_is_refused(model_dir: Path, manifest: Manifest) -> None:
    (model_dir / "graph.xml").write_text("<net/>")
    seal(model_dir, manifest)
    with pytest.raises(ArtifactError, match=r"cannot run the artifact's graph\.xml"):
        model_fn(model_dir)


def test_the_signatures_are_what_the_toolkit_counts() -> None:
    counts = {"model_fn": 2, "transform_fn": 5}
    assert {name: len(signature(getattr(inference, name)).parameters) for name in counts} == counts


class Context:
    """What a toolkit's handler sets."""

    status: tuple[int, str] | None = None

    def set_response_status(self, code: int, phrase: str) -> None:
        self.status = code, phrase


def test_what_the_toolkit_calls_answers_as_the_four_do(model: Model, picture: Callable[..., bytes]) -> None:
    context = Context()
    text, media_type = transform_fn(model, picture("red"), "image/png", "text/csv", context)
    assert (text, media_type) == output_fn(predict_fn(input_fn(picture("red"), "image/png"), model), "text/csv")
    assert context.status is None


def test_what_the_toolkit_calls_answers_refusals_itself(model: Model) -> None:
    context = Context()
    text, media_type = transform_fn(model, b"x", None, "text/csv", context)
    assert (context.status, media_type) == ((415, "Unsupported Media Type"), "application/json")
    assert json.loads(text)["error"]["code"] == "unsupported_content_type"


def test_a_bug_under_the_toolkit_tells_the_caller_nothing_and_the_log_everything(
    model: Model, picture: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret path /opt/ml")

    monkeypatch.setattr(handlers, "decode", broken)
    context = Context()
    text, _ = transform_fn(model, picture("red"), "image/png", "", context)
    assert context.status == (500, "Internal Server Error")
    assert json.loads(text) == {"error": {"code": "internal", "message": "The model server failed."}}
    assert "secret path" in caplog.text


def test_softmax_adds_up_and_does_not_overflow() -> None:
    probabilities = softmax(np.array([[1e4, 0, -1e4], [1, 1, 1]], dtype=np.float32))
    assert probabilities.sum(axis=1) == pytest.approx([1, 1])
    assert probabilities[1] == pytest.approx([1 / 3] * 3)

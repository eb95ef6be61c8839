"""The artifact under AWS's own serving toolkit: from its `code/` folder it answers what our process answers."""

import base64
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from inference.artifact import InputSpec, Manifest, PrecisionChoice, seal
from tests.benchmarks.serving.servers import TORCHSERVE_PYTHON, Server, ours, serving, short_folder, torchserve
from training.export import write_network
from training.network import Network, to_openvino

SIZE = 8
CLASSES = ("red", "green", "blue", "dark")
# The same graph runs on the same machine; only the order in which a batch is added up may differ.
TOLERATED_DIFFERENCE = 1e-5

pytestmark = pytest.mark.xdist_group("toolkit")  # the artifact and our answers are made once


@dataclass(frozen=True)
class Question:
    """A request to /invocations."""

    body: bytes
    content_type: str | None = "image/jpeg"
    accept: str = "application/json"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: str


def picture(colour: str, format: str = "JPEG", size: tuple[int, int] = (12, 10)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, format)
    return file.getvalue()


def json_body(*colours: str, **options: object) -> bytes:
    instances = [{"image_base64": base64.b64encode(picture(colour)).decode()} for colour in colours]
    return json.dumps({"instances": instances, **options}).encode()


ANSWERED = {
    "jpeg": Question(picture("red")),
    "png": Question(picture("lime", "PNG"), "image/png"),
    "webp": Question(picture("#203050", "WEBP"), "image/webp"),
    "several": Question(json_body("blue", "black", "#808080", top_k=2), "application/json"),
    "logits": Question(json_body("red", output="logits"), "application/json; charset=utf-8"),
}
REFUSED = {
    "undecodable": Question(b"not an image"),
    "too many pixels": Question(picture("red", "PNG", (5001, 5000)), "image/png"),
    "no instances": Question(b"{}", "application/json"),
    "another content type": Question(b"x", "text/plain"),
    "no content type": Question(picture("red"), content_type=None),
    "another answer": Question(picture("red"), accept="image/png"),
}
IN_CSV = Question(json_body("red", "blue", top_k=1), "application/json", "text/csv")
QUESTIONS = {**ANSWERED, **REFUSED, "csv": IN_CSV}


class MeanColour(nn.Module):
    """The backbone: [n, 3, h, w] to [n, 3]."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


@pytest.fixture(scope="module")
def base_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like /opt/ml with an artifact as training exports it, of four classes."""
    base = tmp_path_factory.mktemp("ml")
    (base / "model").mkdir()
    spec = InputSpec(SIZE, SIZE, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    head = nn.Linear(3, len(CLASSES))
    with torch.no_grad():
        head.weight.copy_(4 * torch.eye(4, 3))
        head.bias.copy_(torch.tensor([0.0, 0.0, 0.0, -2.0]))
    network = Network(MeanColour(), head, spec)
    write_network(network, to_openvino(network, SIZE), base / "model")
    precision = PrecisionChoice("fp32", "bf16 would lose too much", {"fp32": 1.0, "bf16": 0.5})
    seal(base / "model", Manifest("run-1", "mean_colour", CLASSES, spec, 1.0, precision, metrics={}, files={}))
    return base


def ask(server: Server, questions: dict[str, Question]) -> dict[str, Answer]:
    answers = {}
    for name, question in questions.items():
        headers = {"Accept": question.accept}
        if question.content_type:
            headers["Content-Type"] = question.content_type
        status, body = server.request("POST", "/invocations", question.body, headers)
        answers[name] = Answer(status, body.decode())
    return answers


@pytest.fixture(scope="module")
def expected(base_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """What our own process answers."""
    with serving(ours(base_dir), tmp_path_factory.mktemp("log") / "ours.log") as server:
        server.wait_until_ready(ANSWERED["jpeg"].body)
        return ask(server, QUESTIONS)


@pytest.fixture(scope="module")
def by_transformer(base_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """What sagemaker-inference's Transformer answers."""
    order = [
        {
            "body": base64.b64encode(question.body).decode(),
            "content_type": question.content_type,
            "accept": question.accept,
        }
        for question in QUESTIONS.values()
    ]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("transform.py")],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env={**environment, "SAGEMAKER_BASE_DIR": str(base_dir)},
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: Answer(**answer) for name, answer in zip(QUESTIONS, json.loads(done.stdout), strict=True)}


@pytest.fixture(scope="module")
def by_torchserve(base_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """What TorchServe answers, started by sagemaker-pytorch-inference as AWS's container does."""
    if not TORCHSERVE_PYTHON.exists():
        pytest.skip("TorchServe has an environment of its own: make .venv-torchserve/installed")
    log = tmp_path_factory.mktemp("log") / "torchserve.log"
    with short_folder() as folder, serving(torchserve(base_dir, folder, workers=1), log) as server:
        server.wait_until_ready(ANSWERED["jpeg"].body)
        return ask(server, QUESTIONS)


# The Transformer alone, and all of TorchServe where everything is tested.
by_toolkit = pytest.mark.parametrize("way", ["by_transformer", pytest.param("by_torchserve", marks=pytest.mark.full)])


@by_toolkit
@pytest.mark.parametrize("name", ANSWERED)
def test_the_toolkit_answers_as_our_process_does(
    way: str, name: str, expected: dict[str, Answer], request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue(way)[name]
    assert (found.status, expected[name].status) == (200, 200), found.body
    one, other = json.loads(found.body), json.loads(expected[name].body)
    assert one["model"] == other["model"]
    assert [classes(prediction) for prediction in one["predictions"]] == [classes(p) for p in other["predictions"]]
    assert numbers(one) == pytest.approx(numbers(other), abs=TOLERATED_DIFFERENCE)


@by_toolkit
@pytest.mark.parametrize("name", REFUSED)
def test_the_toolkit_refuses_as_our_process_does(
    way: str, name: str, expected: dict[str, Answer], request: pytest.FixtureRequest
) -> None:
    """With the same status and the same body, to the byte."""
    found = request.getfixturevalue(way)[name]
    assert 400 <= found.status < 500, found.body
    assert set(json.loads(found.body)["error"]) == {"code", "message"}
    assert found == expected[name]


@by_toolkit
def test_the_toolkit_writes_csv_as_our_process_does(
    way: str, expected: dict[str, Answer], request: pytest.FixtureRequest
) -> None:
    rows, others = (
        [line.split(",") for line in answer.body.splitlines()]
        for answer in (request.getfixturevalue(way)["csv"], expected["csv"])
    )
    assert [label for label, _ in rows] == ["red", "blue"] == [label for label, _ in others]
    probabilities = [float(probability) for _, probability in others]
    assert [float(probability) for _, probability in rows] == pytest.approx(probabilities, abs=TOLERATED_DIFFERENCE)


def classes(prediction: dict[str, Any]) -> tuple[Any, ...]:
    """What must be equal: the classes, their order, and whether the model is sure."""
    return prediction["low_confidence"], *[(entry["label"], entry["index"]) for entry in prediction["top"]]


def numbers(answer: dict[str, Any]) -> list[float]:
    """What may differ a little: probabilities and logits."""
    found: list[float] = []
    for prediction in answer["predictions"]:
        found += [entry["probability"] for entry in prediction["top"]] + prediction.get("logits", [])
    return found

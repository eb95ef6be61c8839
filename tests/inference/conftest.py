"""A model small enough to build in milliseconds: it tells red, green, blue and dark pictures apart."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from PIL import Image

from inference.artifact import GRAPH_NAME, InputSpec, Manifest, PrecisionChoice, seal
from inference.inference import Model, model_fn

CLASSES = ("red", "green", "blue", "dark")
SIZE = 8


def write_graph(path: Path) -> None:
    """uint8 [n, 8, 8, 3] -> mean colour -> 4 logits: one per channel, and a constant that wins over darkness."""
    pixels = ops.parameter([-1, SIZE, SIZE, 3], np.uint8, name="pixels")
    mean = ops.reduce_mean(ops.convert(pixels, np.float32), ops.constant([1, 2]), keep_dims=False)
    weights = ops.constant(np.eye(3, 4, dtype=np.float32) / 16)
    logits = ops.add(ops.matmul(mean, weights, False, False), ops.constant(np.array([0, 0, 0, 2], np.float32)))
    ov.save_model(ov.Model([logits], [pixels], "colours"), path, compress_to_fp16=False)


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        run_id="run-1",
        backbone="colours",
        classes=CLASSES,
        input=InputSpec(SIZE, SIZE, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        temperature=2.0,
        precision=PrecisionChoice("fp32", "it is the only one", {"fp32": 1.0}),
        metrics={"test_top1": 1.0},
        files={},
    )


@pytest.fixture
def model_dir(tmp_path: Path, manifest: Manifest) -> Path:
    directory = tmp_path / "ml" / "model"
    directory.mkdir(parents=True)
    write_graph(directory / GRAPH_NAME)
    (directory / "code").mkdir()
    (directory / "code" / "handlers.py").write_text("# handlers\n")
    seal(directory, manifest)
    return directory


@pytest.fixture
def model(model_dir: Path) -> Model:
    return model_fn(model_dir)


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """picture("red", format="PNG", mode="RGB", size=(10, 12)) -> the bytes of an image file."""

    def make(
        colour: str = "red", format: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (10, 12), **options: object
    ) -> bytes:
        file = BytesIO()
        Image.new("RGB", size, colour).convert(mode).save(file, format, **options)
        return file.getvalue()

    return make

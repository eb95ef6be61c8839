"""A model small enough to build in milliseconds: it tells red, green, blue and dark pictures apart."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from PIL import Image

from inference.artifact import GRAPH_NAME, InputSpec, Manifest, PrecisionChoice, seal
from inference.inference import Model, model_fn
from tests.inference.process import Server, serving

CLASSES = ("red", "green", "blue", "dark")
SIZE = 8


def write_graph(path: Path, size: int = SIZE) -> None:
    """uint8 [n, size, size, 3] -> mean colour -> 4 logits: one per channel, and a constant that wins over darkness."""
    pixels = ops.parameter([-1, size, size, 3], np.uint8, name="pixels")
    mean = ops.reduce_mean(ops.convert(pixels, np.float32), ops.constant([1, 2]), keep_dims=False)
    weights = ops.constant(np.eye(3, 4, dtype=np.float32) / 16)
    logits = ops.add(ops.matmul(mean, weights, False, False), ops.constant(np.array([0, 0, 0, 2], np.float32)))
    ov.save_model(ov.Model([logits], [pixels], "colours"), path, compress_to_fp16=False)


def manifest_for(size: int, resize: int) -> Manifest:
    return Manifest(
        run_id="run-1",
        backbone="colours",
        classes=CLASSES,
        input=InputSpec(size, resize, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        temperature=2.0,
        precision=PrecisionChoice("fp32", "bf16 would lose too much", {"fp32": 1.0, "bf16": 0.5}),
        metrics={"test_top1": 1.0},
        files={},
    )


@pytest.fixture
def manifest() -> Manifest:
    return manifest_for(SIZE, SIZE)


@pytest.fixture
def model_dir(tmp_path: Path, manifest: Manifest) -> Path:
    directory = tmp_path / "ml" / "model"
    directory.mkdir(parents=True)
    write_graph(directory / GRAPH_NAME)
    (directory / "code").mkdir()
    (directory / "code" / "handlers.py").write_text("# handlers\n")
    seal(directory, manifest)
    return directory


@contextmanager
def serving_colours(base_dir: Path) -> Iterator[Server]:
    """A ready serving process whose pictures have the size that real networks take; it must not end by itself."""
    (base_dir / "model").mkdir()
    write_graph(base_dir / "model" / GRAPH_NAME, size=224)
    seal(base_dir / "model", manifest_for(224, 256))
    with serving(base_dir) as server:
        server.wait_until_ready()
        yield server
        assert server.process.poll() is None, server.errors


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One serving process for the tests of a module."""
    with serving_colours(tmp_path_factory.mktemp("ml")) as server:
        yield server


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

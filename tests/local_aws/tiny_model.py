"""A model of three classes that needs no training: it tells red, green and blue apart."""

import tarfile
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from inference.artifact import InputSpec, Manifest, PrecisionChoice, seal

SIZE = 8
CLASSES = ("red", "green", "blue")


def write_tiny_model(folder: Path, run_id: str) -> str:
    """Fill `folder` with a servable artifact and return its digest."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = ops.parameter([-1, SIZE, SIZE, 3], np.uint8, name="pixels")
    means = ops.reduce_mean(ops.convert(pixels, np.float32), ops.constant([1, 2], np.int32), keep_dims=False)
    ov.save_model(ov.Model([ops.multiply(means, ops.constant(0.05, np.float32))], [pixels]), folder / "graph.xml")
    manifest = Manifest(
        run_id=run_id,
        backbone="mean_colour",
        classes=CLASSES,
        input=InputSpec(SIZE, SIZE, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        temperature=1.0,
        precision=PrecisionChoice("fp32", "bf16 would lose too much", {"fp32": 1.0, "bf16": 0.5}),
        metrics={},
        files={},
    )
    return seal(folder, manifest)


def pack_tiny_model(folder: Path, run_id: str) -> tuple[Path, str]:
    """(model.tar.gz, digest) of a tiny model."""
    digest = write_tiny_model(folder / run_id, run_id)
    archive = folder / f"{run_id}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder / run_id, ".")
    return archive, digest

"""In which arithmetic a model is served: what can be had, what each costs in accuracy, and which one is chosen."""

import io
import math
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from torch import Tensor

from inference.artifact import PrecisionChoice
from inference.engine import Engine, cpu_precisions
from training.evaluation import evaluate
from training.images import Files, Images
from training.network import Outputs, run_over

# A cheaper precision may lose this much of validation top-1 (as a share) and still be chosen. Of int8 the loss counts
# with its standard error: on some hundred images a point is lost by rounding and unseen by luck.
TOLERATED_LOSS = 0.005
# Quantisation takes longer with every image that it looks at, and no model should wait for it much longer than this.
CALIBRATION_SECONDS = 40
# What calibration costs for each image, in passes of the fp32 graph: 1.6 (ResNet50) to 3.2 (EfficientNet-Lite0).
PASSES_PER_CALIBRATION_IMAGE = 3.2
TIMED_PASSES = 15


@dataclass(frozen=True)
class Evidence:
    """What a candidate answers on validation, and its milliseconds for one image on this machine."""

    validation: Outputs
    milliseconds: float


def quantize(graph: ov.Model, files: Files, images: int) -> ov.Model:
    """The graph in int8, its ranges taken from so many training images, or fewer where they would take too long."""
    import nncf  # here, because it takes seconds and can be switched off

    spread = replace(files, samples=files.samples[:: -(-len(files.samples) // images)])
    batches = (batch for batch, _ in spread.batches(0, len(spread.samples)))
    pixels = [image[None] for batch in batches for image in batch]
    seconds = milliseconds_per_image({"fp32": Engine(graph, "fp32")}, pixels[0])["fp32"] / 1000
    affordable = max(1, int(CALIBRATION_SECONDS / (PASSES_PER_CALIBRATION_IMAGE * seconds)))
    nncf.set_log_level("ERROR")
    with redirect_stdout(io.StringIO()):  # its progress bars are for terminals
        return nncf.quantize(
            graph, nncf.Dataset(pixels), preset=nncf.QuantizationPreset.MIXED, subset_size=min(len(pixels), affordable)
        )


def compare(candidates: Mapping[str, ov.Model], images: Images, size: int) -> dict[str, Evidence]:
    """Run every candidate on the validation images, and time it on one of `size` pixels a side."""
    # One after the other: an engine keeps the memory of its largest batch. Timing is on single images, together.
    outputs = {name: run_over(images, [Engine(graph, name)], f"valid, {name}")[0] for name, graph in candidates.items()}
    engines = {name: Engine(graph, name) for name, graph in candidates.items()}
    milliseconds = milliseconds_per_image(engines, np.zeros((1, size, size, 3), np.uint8))
    return {name: Evidence(outputs[name], milliseconds[name]) for name in candidates}


def milliseconds_per_image(engines: Mapping[str, Engine], image: NDArray[np.uint8]) -> dict[str, float]:
    """Each engine's median time for one image [1, size, size, 3]; in turn, so that a busy moment meets them all."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for engine in engines.values():
        engine(image)  # the first pass allocates
    for _ in range(TIMED_PASSES):
        for name, engine in engines.items():
            started = time.perf_counter()
            engine(image)
            seconds[name].append(time.perf_counter() - started)
    return {name: 1000 * median(times) for name, times in seconds.items()}


def choose_precision(evidence: Mapping[str, Evidence]) -> PrecisionChoice:
    """The fastest candidate that loses at most TOLERATED_LOSS of fp32's top-1, and why, with the figures."""
    reference = right(evidence["fp32"])
    top1 = {name: round(evaluate(found.validation, temperature=1).top1, 6) for name, found in evidence.items()}
    milliseconds = {name: round(found.milliseconds, 3) for name, found in evidence.items()}
    losses = {name: loss_at_worst(reference - right(found), name) for name, found in evidence.items()}
    accurate = [name for name in top1 if losses[name] <= TOLERATED_LOSS]
    chosen = min(accurate, key=milliseconds.__getitem__)
    lossy = [name for name in top1 if name not in accurate]
    why = f"{chosen} is the fastest of {', '.join(accurate)}"
    if lossy:
        why += f", and {', '.join(lossy)} may lose more than {TOLERATED_LOSS}"
    figures = ", ".join(f"{name} {top1[name]:.4f} in {milliseconds[name]:.1f} ms" for name in top1)
    images = len(evidence[chosen].validation.labels)
    return PrecisionChoice(chosen, f"{why}; top-1 on {images} validation images: {figures}", top1, milliseconds)


def right(evidence: Evidence) -> Tensor:
    """1 for each validation image that was answered rightly, else 0: float [n]."""
    outputs = evidence.validation
    return (outputs.values.argmax(dim=1) == outputs.labels).float()


def loss_at_worst(lost: Tensor, name: str) -> float:
    """The mean of what was lost on each image (1, 0 or -1), for int8 with the standard error of that mean."""
    error = lost.std(correction=0).item() / math.sqrt(len(lost)) if name == "int8" else 0
    return lost.mean().item() + error


def float_candidates(graph: ov.Model) -> dict[str, ov.Model]:
    """The graph in each floating-point precision that this CPU computes."""
    return dict.fromkeys(cpu_precisions(), graph)

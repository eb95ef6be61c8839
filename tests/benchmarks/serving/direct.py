"""Time the handlers, and the engine below them, in a process with no server around: what the server adds is the rest.

    python -m tests.benchmarks.serving.direct MODEL_DIR SECONDS IMAGE…

prints {"handlers_ms", "engine_ms"}: medians over the images, from input_fn to output_fn, and of preprocessing plus the
engine's call.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from statistics import median

import numpy as np

from inference.inference import Model, input_fn, model_fn, output_fn, predict_fn

WARM_UP_CALLS = 20


def time_calls(calls: Sequence[Callable[[bytes], object]], images: Sequence[bytes], seconds: float) -> list[float]:
    """The median milliseconds of each call. They take turns on each image, so that they meet the same machine."""
    milliseconds: list[list[float]] = [[] for _ in calls]
    for image in images[:WARM_UP_CALLS]:
        for call in calls:
            call(image)
    deadline = time.perf_counter() + seconds
    for image in cycle(images):
        for call, found in zip(calls, milliseconds, strict=True):
            started = time.perf_counter()
            call(image)
            found.append(1000 * (time.perf_counter() - started))
        if time.perf_counter() > deadline:
            break
    return [median(found) for found in milliseconds]


def handlers(model: Model) -> Callable[[bytes], object]:
    """All of them, as the toolkit calls them."""
    return lambda image: output_fn(predict_fn(input_fn(image, "image/jpeg"), model), "application/json")


def bare_engine(model: Model) -> Callable[[bytes], object]:
    """Pixels and logits, and nothing else."""
    return lambda image: model.engine(np.stack([model.preprocess(image)]))


def main() -> None:
    model_dir, seconds, *files = sys.argv[1:]
    images = [Path(file).read_bytes() for file in files]
    model = model_fn(model_dir)
    handlers_ms, engine_ms = time_calls([handlers(model), bare_engine(model)], images, float(seconds))
    print(json.dumps({"handlers_ms": handlers_ms, "engine_ms": engine_ms}))


if __name__ == "__main__":
    main()

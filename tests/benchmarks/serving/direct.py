"""What a server adds: the same images over HTTP, through the handlers, and through the engine below them.

    python -m tests.benchmarks.serving.direct PORT MODEL_DIR IMAGE…

A server of MODEL_DIR listens on PORT; handlers and engine are called in this process. Prints {"overhead_ms",
"overhead_over_engine_ms", "http_ms", "handlers_ms", "engine_ms"}. The speed of a machine drifts by more than a server
costs. So the three take turns, a few milliseconds for each image, and only neighbours are compared: an overhead is the
median, over the turns, of the difference of two medians.
"""

import http.client
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from inference.inference import Model, input_fn, model_fn, output_fn, predict_fn

TURNS = 40
WARM_UP_TURNS = 2

Call = Callable[[bytes], object]


def over_http(port: int) -> Call:
    """One client on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def call(image: bytes) -> bytes:
        connection.request("POST", "/invocations", image, {"Content-Type": "image/jpeg"})
        response = connection.getresponse()
        assert response.status == 200, response.status
        return response.read()

    return call


def handlers(model: Model) -> Call:
    """All of them, as the toolkit calls them."""
    return lambda image: output_fn(predict_fn(input_fn(image, "image/jpeg"), model), "application/json")


def bare_engine(model: Model) -> Call:
    """Pixels and logits, and nothing else."""
    return lambda image: model.engine(np.stack([model.preprocess(image)]))


def milliseconds(call: Call, images: Sequence[bytes]) -> float:
    """The median over the images."""
    found = []
    for image in images:
        started = time.perf_counter()
        call(image)
        found.append(1000 * (time.perf_counter() - started))
    return median(found)


def main() -> None:
    port, model_dir, *files = sys.argv[1:]
    images = [Path(file).read_bytes() for file in files]
    model = model_fn(model_dir)
    calls = (over_http(int(port)), handlers(model), bare_engine(model))
    turns = [[milliseconds(call, images) for call in calls] for _ in range(WARM_UP_TURNS + TURNS)][WARM_UP_TURNS:]
    figures = {
        "overhead_ms": median(http_ms - handlers_ms for http_ms, handlers_ms, _ in turns),
        "overhead_over_engine_ms": median(http_ms - engine_ms for http_ms, _, engine_ms in turns),
    }
    names = ("http_ms", "handlers_ms", "engine_ms")
    figures |= {name: median(found) for name, found in zip(names, zip(*turns, strict=True), strict=True)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

"""Runs a graph on this machine's CPU with OpenVINO, in the best arithmetic that both the model and the CPU support."""

import os
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import openvino as ov
from numpy.typing import NDArray

# model.json's names on the left, OpenVINO's on the right.
PRECISIONS = {"fp32": "f32", "bf16": "bf16"}


def cpu_precisions() -> tuple[str, ...]:
    """Name the precisions that this CPU computes natively. bf16 needs AVX512-BF16 or AMX."""
    capabilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("fp32", "bf16") if "BF16" in capabilities else ("fp32",)


def usable_precision(chosen: str) -> str:
    """The precision to run a model in that was exported for `chosen`: fp32 where the CPU lacks it."""
    return chosen if chosen in cpu_precisions() else "fp32"


def cpu_count() -> int:
    """The number of CPUs that this process may use, which can be less than the machine has."""
    return len(os.sched_getaffinity(0))


class Engine:
    """A compiled graph: uint8 images of shape [n, size, size, 3] in, float32 rows of shape [n, outputs] out.

    Safe to call from several threads. `precision` is what really runs.
    """

    def __init__(self, graph: Path | ov.Model, precision: str) -> None:
        self.precision = precision
        compiled = ov.Core().compile_model(
            graph,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
                "INFERENCE_NUM_THREADS": cpu_count(),
            },
        )
        # A request holds the buffers of one run, so a thread borrows one for as long as it computes.
        self._requests: SimpleQueue[ov.InferRequest] = SimpleQueue()
        for _ in range(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")):
            self._requests.put(compiled.create_infer_request())

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        request = self._requests.get()
        try:
            outputs = request.infer([images], share_inputs=True, share_outputs=False)
            return np.asarray(outputs[0], dtype=np.float32)
        finally:
            self._requests.put(request)

"""Runs a graph on this machine's CPU with OpenVINO, in the best arithmetic that both the model and the CPU support."""

import math
import os
import threading
import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from inference.artifact import PrecisionChoice

QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")


def cpu_precisions() -> tuple[str, ...]:
    """Name the floating-point precisions that this CPU computes natively. bf16 needs AVX512-BF16 or AMX."""
    capabilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("fp32", "bf16") if "BF16" in capabilities else ("fp32",)


def usable_precision(choice: PrecisionChoice) -> tuple[str, str]:
    """The precision that an exported model runs in on this CPU, and why.

    An int8 graph runs everywhere; its few layers that are not quantised take the best float there is. Between the
    floats the CPU decides, unless the model lost too much in bf16, or was no faster, where it was exported.
    """
    floats = cpu_precisions()
    if choice.chosen == "fp32" and "bf16" in floats and "bf16" not in choice.validation_top1:
        return "bf16", f"this CPU computes bf16, which the one that exported the model did not; there {choice.why}"
    if choice.chosen in ("int8", *floats):
        return choice.chosen, choice.why
    return "fp32", f"this CPU does not compute {choice.chosen}; where the model was exported {choice.why}"


def cpu_count() -> int:
    """CPUs that this process may use: fewer than the machine has, under an affinity or a container's quota."""
    count = len(os.sched_getaffinity(0))
    try:
        quota, period = QUOTA_FILE.read_text().split()
        return min(count, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no such control group, or "max"
        return count


class Engine:
    """A compiled graph: uint8 images of shape [n, size, size, 3] in, float32 rows of shape [n, outputs] out.

    All CPUs work on one call at a time, so a second thread waits for the first (see `Batcher`). `precision` is what
    really runs.
    """

    def __init__(self, graph: Path | ov.Model, precision: str) -> None:
        self.precision = precision
        floats = "f32" if precision == "fp32" or "bf16" not in cpu_precisions() else "bf16"
        settings = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": cpu_count(), "INFERENCE_PRECISION_HINT": floats}
        self._request = ov.Core().compile_model(graph, "CPU", settings).create_infer_request()
        self._lock = threading.Lock()

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with self._lock:
            outputs = self._request.infer([images], share_inputs=True, share_outputs=False)
            return np.asarray(outputs[0], dtype=np.float32)


class Run(NamedTuple):
    """What an engine answered, and how long the images waited for it and it for them."""

    outputs: NDArray[np.float32]
    waited_seconds: float
    ran_seconds: float


class _Waiting(NamedTuple):
    """Images of one caller, since when they wait, and what becomes of them."""

    images: NDArray[np.uint8]
    since: float
    run: Future[Run]


class Batcher:
    """Lets threads share an engine: images that arrive while it works go through it together, next.

    A batch costs less than its images one by one, on some CPUs far less. Nobody waits for a batch to fill: whoever
    finds the engine idle runs it, for all who wait by then.
    """

    def __init__(self, engine: Engine, max_images: int) -> None:
        self._engine = engine
        self._max_images = max_images
        self._waiting: deque[_Waiting] = deque()
        self._is_busy = False
        self._changed = threading.Condition()

    def __call__(self, images: NDArray[np.uint8]) -> Run:
        """Run images of shape [n, size, size, 3], with others' where there are any."""
        mine = _Waiting(images, time.perf_counter(), Future())
        with self._changed:
            self._waiting.append(mine)
        while not mine.run.done():
            with self._changed:
                self._changed.wait_for(lambda: mine.run.done() or not self._is_busy)
                if mine.run.done():
                    break
                self._is_busy = True
                batch = self._take()
            try:
                self._compute(batch)
            finally:
                with self._changed:
                    self._is_busy = False
                    self._changed.notify_all()
        return mine.run.result()

    def _take(self) -> list[_Waiting]:
        """The longest waiting, as many as go together: one at least."""
        batch = [self._waiting.popleft()]
        count = len(batch[0].images)
        while self._waiting and count + len(self._waiting[0].images) <= self._max_images:
            batch.append(self._waiting.popleft())
            count += len(batch[-1].images)
        return batch

    def _compute(self, batch: list[_Waiting]) -> None:
        started = time.perf_counter()
        try:
            outputs = self._engine(np.concatenate([one.images for one in batch]))
            seconds = time.perf_counter() - started
            rows = np.split(outputs, np.cumsum([len(one.images) for one in batch])[:-1])
        except Exception as error:
            for one in batch:
                one.run.set_exception(error)
            return
        for one, own in zip(batch, rows, strict=True):
            one.run.set_result(Run(own, started - one.since, seconds))

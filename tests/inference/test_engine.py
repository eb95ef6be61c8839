"""What the machine allows, and how threads share one engine."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import engine
from inference.artifact import PrecisionChoice
from inference.engine import Batcher, cpu_count, usable_precision
from tests.conftest import wait_for


@pytest.mark.parametrize(
    ("quota", "cpus"), [("max 100000", 8), ("50000 100000", 1), ("150000 100000", 2), ("1600000 100000", 8), ("", 8)]
)
def test_a_container_s_quota_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cpus: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    monkeypatch.setattr(engine, "QUOTA_FILE", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert cpu_count() == cpus


def test_without_control_groups_the_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "QUOTA_FILE", tmp_path / "nothing")
    assert cpu_count() == len(os.sched_getaffinity(0))


ITS_OWN = "it is the fastest"
WITHOUT, WITH = ("fp32",), ("fp32", "bf16")


@pytest.mark.parametrize(
    ("cpu", "chosen", "judged", "runs", "why"),
    [
        (WITHOUT, "fp32", WITHOUT, "fp32", ITS_OWN),
        (WITHOUT, "fp32", WITH, "fp32", ITS_OWN),
        (WITHOUT, "bf16", WITH, "fp32", f"this CPU does not compute bf16; where the model was exported {ITS_OWN}"),
        (WITHOUT, "int8", WITH, "int8", ITS_OWN),
        (WITHOUT, "fp4", WITH, "fp32", f"this CPU does not compute fp4; where the model was exported {ITS_OWN}"),
        (WITH, "fp32", WITH, "fp32", ITS_OWN),
        (WITH, "bf16", WITH, "bf16", ITS_OWN),
        (WITH, "int8", WITHOUT, "int8", ITS_OWN),
        (
            WITH,
            "fp32",
            WITHOUT,
            "bf16",
            f"this CPU computes bf16, which the one that exported the model did not; there {ITS_OWN}",
        ),
    ],
)
def test_the_cpu_decides_between_the_floats_where_the_evidence_does_not(
    monkeypatch: pytest.MonkeyPatch, cpu: tuple[str, ...], chosen: str, judged: tuple[str, ...], runs: str, why: str
) -> None:
    monkeypatch.setattr(engine, "cpu_precisions", lambda: cpu)
    choice = PrecisionChoice(chosen, ITS_OWN, dict.fromkeys((*judged, chosen), 0.8))
    assert usable_precision(choice) == (runs, why)


class Doubler:
    """An engine that answers twice the pixel, notes its batches, and waits at a gate."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate = threading.Event()

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(images))
        assert self.gate.wait(30)
        if images.max() > 99:
            raise ValueError("too bright")
        return 2 * images[:, 0, 0, :1].astype(np.float32)


def images(*values: int) -> NDArray[np.uint8]:
    return np.array(values, np.uint8).reshape(-1, 1, 1, 1)


@pytest.fixture
def shared() -> tuple[Doubler, Batcher, Callable[[int], None]]:
    """(the engine, its batcher, and a way to await that so many callers wait behind the first)"""
    doubler = Doubler()
    batcher = Batcher(doubler, max_images=4)  # type: ignore[arg-type]

    def wait_until(waiting: int) -> None:
        wait_for(lambda: len(doubler.batches) == 1 and len(batcher._waiting) == waiting)

    return doubler, batcher, wait_until


def test_what_waits_goes_through_together_and_each_gets_its_own(
    shared: tuple[Doubler, Batcher, Callable[[int], None]],
) -> None:
    doubler, batcher, wait_until = shared
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(batcher, images(1))]
        for behind, values in enumerate([(2,), (3, 4), (5,), (6, 7, 8), (9,)]):
            wait_until(behind)
            calls.append(pool.submit(batcher, images(*values)))
        wait_until(5)
        doubler.gate.set()
    runs = [call.result() for call in calls]
    assert [run.outputs[:, 0].tolist() for run in runs] == [[2], [4], [6, 8], [10], [12, 14, 16], [18]]
    assert doubler.batches == [1, 4, 4]  # in the order in which they came, never more than four
    assert all(run.waited_seconds >= 0 and run.ran_seconds > 0 for run in runs)


def test_one_with_more_than_a_batch_goes_alone(shared: tuple[Doubler, Batcher, Callable[[int], None]]) -> None:
    doubler, batcher, _ = shared
    doubler.gate.set()
    assert batcher(images(1, 2, 3, 4, 5, 6)).outputs[:, 0].tolist() == [2, 4, 6, 8, 10, 12]
    assert doubler.batches == [6]


def test_an_answer_that_cannot_be_shared_out_leaves_nobody_waiting() -> None:
    answers = [np.zeros((), np.float32), np.ones((1, 1), np.float32)]
    batcher = Batcher(lambda _: answers.pop(0), 4)  # type: ignore[arg-type]
    with pytest.raises(IndexError, match="tuple index"):
        batcher(images(1))
    assert batcher(images(2)).outputs.tolist() == [[1]]


def test_an_error_reaches_those_whom_it_concerns_and_the_engine_goes_on(
    shared: tuple[Doubler, Batcher, Callable[[int], None]],
) -> None:
    doubler, batcher, wait_until = shared
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(batcher, images(1))]
        wait_until(0)
        calls += [pool.submit(batcher, images(100)), pool.submit(batcher, images(2))]
        wait_until(2)
        doubler.gate.set()
    assert calls[0].result().outputs.tolist() == [[2]]
    for call in calls[1:]:
        with pytest.raises(ValueError, match="too bright"):
            call.result()
    assert batcher(images(3)).outputs.tolist() == [[6]]

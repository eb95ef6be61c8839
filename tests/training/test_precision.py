"""Which arithmetic is chosen, and that the evidence for it is measured."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from inference.artifact import InputSpec
from inference.engine import Engine, cpu_precisions
from inference.preprocess import Preprocess
from tests.training.conftest import Trained, run_training
from training import precision
from training.data import Broken, find_splits, read_dataset
from training.images import Files
from training.network import Network, Outputs, to_openvino
from training.precision import Evidence, choose_precision, compare, float_candidates, milliseconds_per_image, quantize

SPEC = InputSpec(32, 32, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def evidence(top1: float, milliseconds: float, images: int = 1000) -> Evidence:
    """Logits of two classes that are right for a share of the images."""
    labels = torch.zeros(images, dtype=torch.int64)
    wrong = torch.arange(images) >= round(top1 * images)
    logits = torch.stack([(~wrong).float(), wrong.float()], dim=1)
    return Evidence(Outputs(logits, labels, torch.arange(images)), milliseconds)


def test_the_fastest_of_the_accurate_is_chosen() -> None:
    found = choose_precision({"fp32": evidence(0.8, 20), "bf16": evidence(0.796, 10), "int8": evidence(0.797, 8)})
    assert found.chosen == "int8"
    assert found.validation_top1 == {"fp32": 0.8, "bf16": 0.796, "int8": 0.797}
    assert found.milliseconds == {"fp32": 20, "bf16": 10, "int8": 8}
    assert found.why.startswith("int8 is the fastest of fp32, bf16, int8; top-1 on 1000 validation images: fp32 0.8000")


def test_what_loses_too_much_is_not_chosen_however_fast() -> None:
    found = choose_precision({"fp32": evidence(0.8, 20), "bf16": evidence(0.796, 10), "int8": evidence(0.794, 8)})
    assert found.chosen == "bf16"
    assert "and int8 may lose more than 0.005" in found.why


def test_int8_must_be_sure_of_it() -> None:
    """Four of 1,000 images, and two more by the standard error; bf16 errs at random, and may just lose half a point."""
    found = choose_precision({"fp32": evidence(0.8, 20), "bf16": evidence(0.795, 10), "int8": evidence(0.796, 8)})
    assert found.chosen == "bf16"
    assert "and int8 may lose more than 0.005" in found.why


def test_what_is_slower_is_not_chosen_however_accurate() -> None:
    assert choose_precision({"fp32": evidence(0.8, 20), "int8": evidence(0.8, 21)}).chosen == "fp32"


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    network = Network(backbone, nn.Linear(8, 5), SPEC)
    network.eval()
    return network


@pytest.fixture(scope="module")
def files(drawn: Path) -> Files:
    samples = read_dataset(find_splits(drawn)).splits["train"]
    return Files(samples, Preprocess(SPEC), Broken(len(samples)))


def test_an_int8_graph_answers_nearly_as_its_original(network: Network, files: Files) -> None:
    graph = to_openvino(network, 32)
    quantized = quantize(graph, files, images=20)
    kinds = {node.get_type_name() for node in quantized.get_ops()}
    assert "FakeQuantize" in kinds
    assert "FakeQuantize" not in {node.get_type_name() for node in graph.get_ops()}

    some = replace(files, samples=files.samples[:40])
    found = compare({**float_candidates(graph), "int8": quantized}, some, size=32)
    assert list(found) == [*cpu_precisions(), "int8"]
    original, int8 = found["fp32"].validation.values, found["int8"].validation.values
    assert not torch.equal(original, int8)
    spread = float(original.max() - original.min())
    assert float((original - int8).abs().mean()) < 0.02 * spread
    assert all(one.milliseconds > 0 for one in found.values())


@pytest.mark.full
def test_calibration_ends_where_it_would_take_too_long(
    network: Network, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nncf

    sizes: list[int] = []

    def count(graph: object, dataset: object, subset_size: int, **_: object) -> object:
        sizes.append(subset_size)
        return graph

    monkeypatch.setattr(nncf, "quantize", count)
    monkeypatch.setattr(precision, "milliseconds_per_image", lambda *_: {"fp32": 2500.0})
    quantize(to_openvino(network, 32), files, images=30)
    assert sizes == [5]  # 40 seconds, at 2.5 seconds a pass and 3.2 passes an image


def test_every_engine_is_timed(network: Network) -> None:
    engine = Engine(to_openvino(network, 32), "fp32")
    found = milliseconds_per_image({"a": engine, "b": engine}, np.zeros((1, 32, 32, 3), np.uint8))
    assert set(found) == {"a", "b"}
    assert min(found.values()) > 0


def test_int8_is_a_candidate_until_it_is_switched_off(
    drawn: Path, trained: Trained, tmp_path: Path, tiny_backbone: list[str]
) -> None:
    found = trained.metrics["precision"]
    assert set(found["validation_top1"]) == set(found["milliseconds"]) == {*cpu_precisions(), "int8"}
    without = run_training(drawn, tmp_path, *tiny_backbone, "--epochs", "1", "--calibration-images", "0")
    assert set(without.metrics["precision"]["validation_top1"]) == set(cpu_precisions())

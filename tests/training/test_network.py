"""The exported graph is the network, the folded head is the trained one, and the numbers are what they claim."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from inference.artifact import InputSpec
from inference.engine import Engine, cpu_precisions
from training.evaluation import evaluate, fit_temperature
from training.export import fold_standardisation
from training.network import Network, Outputs, to_openvino, with_head

SPEC = InputSpec(32, 32, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class SmallNetwork(Network):
    """One with a linear head, as type checkers see it."""

    head: nn.Linear


def small_network() -> SmallNetwork:
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    return SmallNetwork(backbone, nn.Linear(8, 5), SPEC).eval()


def outputs(values: torch.Tensor, labels: torch.Tensor) -> Outputs:
    return Outputs(values, labels, torch.arange(len(labels)))


def test_the_graph_answers_as_torch_does_for_any_number_of_images() -> None:
    network = small_network()
    features = to_openvino(Network(network.backbone, nn.Identity(), SPEC), 32)
    engine = Engine(with_head(features, network.head), "fp32")
    for images in (1, 3, 17):
        pixels = np.random.default_rng(images).integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
        with torch.no_grad():
            expected = network(torch.from_numpy(pixels)).numpy()
        assert engine(pixels) == pytest.approx(expected, abs=1e-4)
        # The graph of the features is still what it was.
        assert Engine(features, "fp32")(pixels).shape == (images, 8)


def test_normalisation_is_inside() -> None:
    network = Network(nn.Flatten(), nn.Identity(), InputSpec(1, 1, "bicubic", SPEC.mean, SPEC.std))
    pixel = torch.tensor([[[[255, 0, 128]]]], dtype=torch.uint8)
    expected = [(value / 255 - mean) / std for value, mean, std in zip((255, 0, 128), SPEC.mean, SPEC.std, strict=True)]
    assert network(pixel)[0].tolist() == pytest.approx(expected, rel=1e-5)


def test_folding_changes_nothing_but_the_input() -> None:
    torch.manual_seed(0)
    head, features = nn.Linear(6, 4), 3 * torch.randn(50, 6) + 7
    mean, std = features.mean(dim=0), features.std(dim=0)
    folded = fold_standardisation(head, mean, std)
    assert torch.allclose(folded(features), head((features - mean) / std), atol=1e-5)


def test_evaluation_counts_as_one_counts_by_hand() -> None:
    torch.manual_seed(1)
    logits, labels = torch.randn(64, 7), torch.randint(0, 7, (64,))
    found = evaluate(outputs(logits, labels), temperature=1)
    order = logits.argsort(dim=1, descending=True)
    assert found.top1 == pytest.approx(sum(int(r[0] == y) for r, y in zip(order, labels, strict=True)) / 64)
    assert found.top5 == pytest.approx(sum(int(y in r[:5]) for r, y in zip(order, labels, strict=True)) / 64)
    assert (found.images, int(found.confusion.sum())) == (64, 64)
    assert found.confusion[2, 3] == sum(
        int(y == 2 and r[0] == 3) for r, y in zip(order.tolist(), labels.tolist(), strict=True)
    )
    assert evaluate(outputs(logits[:, :3], labels % 3), temperature=1).top5 == 1


def test_temperature_undoes_a_known_scale() -> None:
    torch.manual_seed(2)
    logits = torch.randn(20_000, 6)
    labels = torch.multinomial(logits.softmax(dim=1), num_samples=1).flatten()
    for scale in (0.2, 1.0, 4.0):
        assert fit_temperature(outputs(scale * logits, labels)) == pytest.approx(scale, rel=0.1)


def test_temperature_is_bounded_when_validation_is_perfect() -> None:
    perfect = outputs(torch.eye(4), torch.arange(4))
    temperature = fit_temperature(perfect)
    assert 0.03 <= temperature < 0.1
    assert math.isfinite(cross_entropy(perfect.values / temperature, perfect.labels).item())


def test_every_cpu_can_compute_in_fp32() -> None:
    assert cpu_precisions()[0] == "fp32"

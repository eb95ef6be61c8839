"""The exported graph is the network, and the folded head is the trained one."""

import numpy as np
import pytest
import torch
from torch import nn

from inference.artifact import InputSpec
from inference.engine import Engine, cpu_precisions
from training.export import fold_standardisation
from training.network import Network, to_openvino, with_head

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


def test_every_cpu_can_compute_in_fp32() -> None:
    assert cpu_precisions()[0] == "fp32"

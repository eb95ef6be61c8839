"""The figures are what an independent computation in plain numpy finds."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from training.evaluation import CALIBRATION_BINS, evaluate, fit_temperature
from training.network import Outputs

CLASS_COUNTS = (2, 5, 17)


def outputs(logits: torch.Tensor, labels: torch.Tensor) -> Outputs:
    return Outputs(logits, labels, torch.arange(len(labels)))


def random_split(seed: int, classes: int, images: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits that are right more often than by luck, for labels that leave the last class without an image."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes - 1, images)
    logits = random.normal(0, 2, (images, classes)).astype(np.float32)
    logits[np.arange(images), labels] += random.uniform(0, 4, images).astype(np.float32)
    return logits, labels


def probabilities(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64) / temperature)
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.sampled_from(CLASS_COUNTS),
    images=st.sampled_from((1, 7, 64, 500)),
    temperature=st.sampled_from((0.3, 1.0, 2.5)),
)
def test_figures_equal_an_independent_computation(seed: int, classes: int, images: int, temperature: float) -> None:
    logits, labels = random_split(seed, classes, images)
    found = evaluate(outputs(torch.from_numpy(logits), torch.from_numpy(labels)), temperature)
    shares = probabilities(logits, temperature)
    answers, rows = logits.argmax(axis=1), np.arange(images)

    assert found.images == images
    assert found.loss == pytest.approx(-np.log(shares[rows, labels]).mean())
    assert found.top1 == pytest.approx((answers == labels).mean())
    better = (logits > logits[rows, labels][:, None]).sum(axis=1)
    assert found.top5 == pytest.approx((better < 5).mean())

    error = 0.0
    for number, part in enumerate(found.calibration):
        inside = (shares.max(axis=1) > number / CALIBRATION_BINS) & (
            shares.max(axis=1) <= (number + 1) / CALIBRATION_BINS
        )
        assert (part.low, part.high) == pytest.approx((number / CALIBRATION_BINS, (number + 1) / CALIBRATION_BINS))
        assert part.images == inside.sum()
        if part.images:
            confidence, accuracy = shares.max(axis=1)[inside].mean(), (answers == labels)[inside].mean()
            assert part.confidence == pytest.approx(confidence)
            assert part.accuracy == pytest.approx(accuracy)
            error += inside.mean() * abs(confidence - accuracy)
    assert found.calibration_error == pytest.approx(error)

    for number, figures in enumerate(found.per_class):
        right = ((answers == number) & (labels == number)).sum()
        assert (figures.images, figures.answers) == ((labels == number).sum(), (answers == number).sum())
        assert figures.recall == (pytest.approx(right / figures.images) if figures.images else None)
        assert figures.precision == (pytest.approx(right / figures.answers) if figures.answers else None)
        for other in range(classes):
            assert found.confusion[number, other] == ((labels == number) & (answers == other)).sum()


@pytest.mark.parametrize("classes", CLASS_COUNTS)
def test_a_tie_goes_to_the_first_class_in_every_figure(classes: int) -> None:
    random = np.random.default_rng(classes)
    logits, labels = random.integers(0, 3, (300, classes)).astype(np.float32), random.integers(0, classes, 300)
    assert ((logits == logits.max(axis=1, keepdims=True)).sum(axis=1) > 1).any()
    found = evaluate(outputs(torch.from_numpy(logits), torch.from_numpy(labels)), temperature=1)
    right = int((logits.argmax(axis=1) == labels).sum())
    assert found.top1 == pytest.approx(right / 300)
    assert int(found.confusion.trace()) == right
    assert sum(part.images * part.accuracy for part in found.calibration if part.accuracy is not None) == pytest.approx(
        right
    )
    own = logits[np.arange(300), labels][:, None]
    surely, possibly = ((logits >= own).sum(axis=1) <= 5).mean(), ((logits > own).sum(axis=1) < 5).mean()
    assert surely - 1e-6 <= found.top5 <= possibly + 1e-6


def test_a_class_without_images_has_no_recall_and_one_never_answered_no_precision() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0], [2.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    figures = evaluate(outputs(logits, torch.tensor([0, 1, 0])), temperature=1).per_class
    assert [(each.images, each.answers) for each in figures] == [(2, 2), (1, 0), (0, 1)]
    assert [each.recall for each in figures] == [0.5, 0.0, None]
    assert [each.precision for each in figures] == [0.5, None, 0.0]


def test_a_certain_answer_is_counted_with_those_that_are_nearly_so() -> None:
    """Half of the two answers in the last bin are right, and both say that they surely are."""
    logits = torch.tensor([[1000.0, 0.0], [4.0, 0.0]])
    found = evaluate(outputs(logits, torch.tensor([0, 1])), temperature=1)
    assert found.calibration[-1].images == 2
    confidence = (1 + 1 / (1 + math.exp(-4))) / 2
    assert found.calibration_error == pytest.approx(confidence - 0.5)


def test_fewer_than_five_classes_are_all_in_the_top_five() -> None:
    logits, labels = random_split(seed=1, classes=2, images=64)
    assert evaluate(outputs(torch.from_numpy(logits), torch.from_numpy(labels)), temperature=1).top5 == 1


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

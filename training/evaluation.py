"""How good the classifier is, measured on the logits of a split."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_confusion_matrix

from training.network import Outputs

CALIBRATION_BINS = 15
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.03, 10.0


@dataclass(frozen=True)
class ClassFigures:
    """One class. `recall` is None for a class without images, `precision` for one that was never answered."""

    images: int
    answers: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True)
class CalibrationBin:
    """The images whose answer had a probability above `low` and up to `high`; None where there are none."""

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Evaluation:
    """Shares from 0 to 1; `confusion[i, j]` counts images of class i that were taken for class j."""

    images: int
    loss: float
    top1: float
    top5: float
    calibration_error: float
    calibration: tuple[CalibrationBin, ...]
    per_class: tuple[ClassFigures, ...]
    confusion: Tensor


def evaluate(outputs: Outputs, temperature: float) -> Evaluation:
    """Measure the logits of a split.

    `loss` is the mean cross-entropy of softmax(logits / temperature). `top5` counts the classes there are when they are
    fewer than five. The calibration error is the expected one (ECE) of Guo et al., "On Calibration of Modern Neural
    Networks", 2017, over 15 bins.
    """
    logits, labels = outputs.values, outputs.labels
    classes = logits.shape[1]
    # In float64, where a confident answer still differs from certainty.
    scaled = logits.double() / temperature
    confidences, answers = scaled.softmax(dim=1).max(dim=1)
    bins = calibration(confidences, answers == labels)
    confusion = multiclass_confusion_matrix(logits, labels, classes)

    def accuracy(top_k: int) -> float:
        return float(multiclass_accuracy(logits, labels, classes, average="micro", top_k=top_k))

    return Evaluation(
        images=len(labels),
        loss=cross_entropy(scaled, labels).item(),
        top1=accuracy(1),
        top5=accuracy(min(5, classes)),
        calibration_error=expected_error(bins),
        calibration=bins,
        per_class=class_figures(confusion),
        confusion=confusion,
    )


def calibration(confidences: Tensor, right: Tensor) -> tuple[CalibrationBin, ...]:
    """Sort answers into bins of equal width by their probability, float [n] from 0 to 1; `right` is bool [n].

    torchmetrics has the error alone, and puts answers with a probability of exactly 1 into a bin of their own.
    """
    edges = torch.linspace(0, 1, CALIBRATION_BINS + 1, dtype=confidences.dtype)
    places = torch.bucketize(confidences, edges[1:-1])

    def by_bin(values: Tensor) -> list[float]:
        sums: list[float] = torch.bincount(places, values, CALIBRATION_BINS).tolist()
        return sums

    counts = torch.bincount(places, minlength=CALIBRATION_BINS).tolist()
    rows = zip(
        edges[:-1].tolist(), edges[1:].tolist(), counts, by_bin(confidences), by_bin(right.double()), strict=True
    )
    return tuple(
        CalibrationBin(low, high, count, share(confidence, count), share(hits, count))
        for low, high, count, confidence, hits in rows
    )


def expected_error(bins: tuple[CalibrationBin, ...]) -> float:
    """The mean distance between confidence and accuracy of the bins, weighted by their images."""
    distances = (
        found.images * abs(found.confidence - found.accuracy)
        for found in bins
        if found.confidence is not None and found.accuracy is not None
    )
    return sum(distances) / sum(found.images for found in bins)


def class_figures(confusion: Tensor) -> tuple[ClassFigures, ...]:
    """The figures of each class, out of the counts [true class, answer]."""
    columns = (confusion.sum(dim=1), confusion.sum(dim=0), confusion.diagonal())
    return tuple(
        ClassFigures(images, answers, share(right, images), share(right, answers))
        for images, answers, right in zip(*(column.tolist() for column in columns), strict=True)
    )


def share(part: float, whole: int) -> float | None:
    """part / whole; None of nothing."""
    return part / whole if whole else None


def fit_temperature(outputs: Outputs) -> float:
    """The temperature that minimises the cross-entropy of softmax(logits / temperature) (Guo et al., 2017).

    The loss is convex in 1 / temperature, so a ternary search finds its one minimum. The bounds matter where a small
    validation split without a single mistake would drive the temperature to zero.
    """

    def loss(log_temperature: float) -> float:
        return cross_entropy(outputs.values / math.exp(log_temperature), outputs.labels).item()

    low, high = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    while high - low > 1e-3:
        third = (high - low) / 3
        if loss(low + third) < loss(high - third):
            high -= third
        else:
            low += third
    return math.exp((low + high) / 2)

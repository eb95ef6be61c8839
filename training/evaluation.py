"""How good the classifier is, measured on the logits of a split."""

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from training.network import Outputs

CALIBRATION_BINS = 15
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.03, 10.0


@dataclass(frozen=True)
class Evaluation:
    """Shares from 0 to 1; `confusion[i, j]` counts images of class i that were taken for class j."""

    images: int
    top1: float
    top5: float
    calibration_error: float
    confusion: Tensor


def evaluate(outputs: Outputs, temperature: float) -> Evaluation:
    """Measure the logits of a split.

    `top5` counts the classes there are when they are fewer than five. The calibration error is the expected one (ECE)
    of Guo et al., "On Calibration of Modern Neural Networks", 2017, over 15 bins.
    """
    logits, labels = outputs.values, outputs.labels
    classes = logits.shape[1]
    probabilities = (logits / temperature).softmax(dim=1)

    def accuracy(top_k: int) -> float:
        return float(multiclass_accuracy(logits, labels, classes, average="micro", top_k=top_k))

    return Evaluation(
        images=len(labels),
        top1=accuracy(1),
        top5=accuracy(min(5, classes)),
        calibration_error=float(multiclass_calibration_error(probabilities, labels, classes, CALIBRATION_BINS)),
        confusion=multiclass_confusion_matrix(logits, labels, classes),
    )


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

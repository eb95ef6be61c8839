"""The linear probe: a linear classifier on the cached features of a frozen backbone."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from training.errors import TrainingError
from training.export import fold_standardisation
from training.hosts import Hosts
from training.network import Outputs
from training.stage import Stage

# How sure the nearest class mean is of itself at the start of training. By cross-validation on photographs 0.005 to
# 0.02 make no difference, and zeros for a start are half a point worse.
MEAN_SCALE = 0.01
# The least standard deviation that a feature is divided by, as a share of the features' average one.
STD_FLOOR = 0.1

ClassRows = Mapping[str, Sequence[int]]
"""Class -> the classes of the backbone's own classifier that it is, or is made of."""


@dataclass(frozen=True)
class LinearProbe:
    """The stage that trains a linear layer on standardised features, and what they were standardised by."""

    stage: Stage
    layer: nn.Linear
    mean: Tensor
    std: Tensor

    def head(self) -> nn.Linear:
        """The trained layer as one on features as they come."""
        return fold_standardisation(self.layer, self.mean, self.std)


def linear_probe(
    train: Outputs, valid: Outputs, start: nn.Linear | None, arguments: argparse.Namespace, hosts: Hosts
) -> LinearProbe:
    """Prepare the stage. `start` [classes, d] is the layer, on features as they come, that it begins with.

    None lets it begin with the nearest class mean. Every class needs an image in `train`.
    """
    mean, std = train.values.mean(dim=0), train.values.std(dim=0)
    # A feature that hardly ever fires in training has next to no deviation; divided by that, one image in which it
    # does fire would outvote all others.
    std = std.clamp(min=STD_FLOOR * float(std.mean()))
    inputs, valid_inputs = (train.values - mean) / std, (valid.values - mean) / std
    layer = standardised(start, mean, std) if start else nearest_mean(inputs, train.labels)
    parallel = hosts.parallel(layer)
    stage = Stage(
        name="head",
        module=layer,
        train_logits=lambda rows: parallel(inputs[rows]),
        valid_logits=lambda: layer(valid_inputs),
        train_labels=train.labels,
        valid_labels=valid.labels,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
    )
    return LinearProbe(stage, layer, mean, std)


def nearest_mean(inputs: Tensor, labels: Tensor) -> nn.Linear:
    """The linear layer whose softmax is that of -MEAN_SCALE / 2 times the squared distances to the classes' means.

    Mensink et al., "Distance-Based Image Classification", 2013. What all classes share of a distance drops out.
    """
    counts = torch.bincount(labels)
    means = torch.zeros(len(counts), inputs.shape[1]).index_add_(0, labels, inputs) / counts[:, None]
    layer = nn.Linear(inputs.shape[1], len(counts))
    with torch.no_grad():
        layer.weight.copy_(MEAN_SCALE * means)
        layer.bias.copy_(-MEAN_SCALE / 2 * means.square().sum(dim=1))
    return layer


def standardised(layer: nn.Linear, mean: Tensor, std: Tensor) -> nn.Linear:
    """The layer that does to standardised features what `layer` does to them as they come."""
    result = nn.Linear(layer.in_features, layer.out_features)
    with torch.no_grad():
        result.weight.copy_(layer.weight * std)
        result.bias.copy_(layer.bias + layer.weight @ mean)
    return result


def read_class_rows(path: Path | None) -> ClassRows:
    """Read `{"a class": 207, "another": [208, 209]}`, numbers of the backbone's own classes. Raises TrainingError."""
    if not path:
        return {}
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise TrainingError(f"The class rows {path} cannot be read as JSON ({error}).") from None
    if not isinstance(content, dict):
        raise TrainingError(f"The class rows {path} are no JSON object of class: number.")
    rows = {name: [row] if isinstance(row, int) else row for name, row in content.items()}
    if bad := [name for name, row in rows.items() if not is_list_of_numbers(row)]:
        raise TrainingError(f"In the class rows {path}, {bad[0]} is neither a number nor a list of numbers.")
    return rows


def is_list_of_numbers(row: object) -> bool:
    """Whether it is a list of one whole number or more."""
    return isinstance(row, list) and bool(row) and all(isinstance(one, int) for one in row)


def layer_from_rows(classifier: nn.Linear | None, rows: ClassRows, classes: Sequence[str]) -> nn.Linear | None:
    """The layer [classes, d] that knows what the backbone's classifier knows; None where there are no rows.

    Each class has the mean of its rows, and one without rows that of all.

    Raises:
        TrainingError: the weights came without a classifier, a class is unknown, or a row is not there.
    """
    if not rows:
        return None
    if classifier is None:
        raise TrainingError("The class rows are of no use: the backbone's weights came without its classifier.")
    if unknown := sorted(rows.keys() - set(classes)):
        raise TrainingError(f"The class rows name {unknown[0]}, which is no class of the data.")
    last = classifier.out_features - 1
    if beyond := [row for chosen in rows.values() for row in chosen if not 0 <= row <= last]:
        raise TrainingError(f"The class rows name row {beyond[0]}; the backbone's classifier has rows 0 to {last}.")
    all_rows = sorted({row for chosen in rows.values() for row in chosen})
    layer = nn.Linear(classifier.in_features, len(classes))
    with torch.no_grad():
        for number, name in enumerate(classes):
            chosen = rows.get(name, all_rows)
            layer.weight[number] = classifier.weight[chosen].mean(dim=0)
            layer.bias[number] = classifier.bias[chosen].mean()
    return layer

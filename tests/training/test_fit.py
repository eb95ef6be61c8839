"""The loop computes what an independent computation computes, stops when it should, and keeps the best epoch."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.arguments import parse_arguments
from training.checkpoint import Checkpoints, StopSignal, without_prefix
from training.errors import TrainingError
from training.hosts import Hosts
from training.stage import Stage
from training.train import fit

IMAGES, FEATURES, CLASSES, EPOCHS = 50, 6, 4, 3

Fit = Callable[[Stage], list[dict[str, float]]]


def arguments(*given: str) -> argparse.Namespace:
    return parse_arguments(["--run-id", "run-test", *given])


def data(images: int, seed: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    labels = torch.randint(0, CLASSES, (images,))
    return torch.randn(images, FEATURES) + labels[:, None], labels


def linear_stage(batch_size: int, epochs: int = EPOCHS, learning_rate: float = 0.01) -> Stage:
    layer = nn.Linear(FEATURES, CLASSES)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    (inputs, labels), (valid, valid_labels) = data(IMAGES, seed=1), data(20, seed=2)
    return Stage(
        name="head",
        module=layer,
        train_logits=lambda rows: layer(inputs[rows]),
        valid_logits=lambda: layer(valid),
        train_labels=labels,
        valid_labels=valid_labels,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., list[dict[str, float]]]:
    def start(stage: Stage, *given: str) -> list[dict[str, float]]:
        return fit(stage, arguments(*given), Checkpoints(tmp_path, "key"), Hosts(), StopSignal())

    return start


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def by_hand(batch_size: int, smoothing: float, decay: float, rate: float) -> list[dict[str, float]]:
    """The same training in numpy: AdamW (Loshchilov and Hutter, 2019), smoothed cross-entropy, cosine schedule."""
    (inputs, labels), (valid, valid_labels) = (
        (x.double().numpy(), y.numpy()) for x, y in (data(IMAGES, seed=1), data(20, seed=2))
    )
    parameters = {"weight": np.zeros((CLASSES, FEATURES)), "bias": np.zeros(CLASSES)}
    first = {name: np.zeros_like(value) for name, value in parameters.items()}
    second = {name: np.zeros_like(value) for name, value in parameters.items()}
    step, records = 0, []
    steps = EPOCHS * math.ceil(IMAGES / batch_size)
    torch.manual_seed(0)
    for epoch in range(1, EPOCHS + 1):
        losses: list[float] = []
        order = torch.randperm(IMAGES).numpy()
        for start in range(0, IMAGES, batch_size):
            rows = order[start : start + batch_size]
            logs = log_softmax(inputs[rows] @ parameters["weight"].T + parameters["bias"])
            targets = (1 - smoothing) * np.eye(CLASSES)[labels[rows]] + smoothing / CLASSES
            losses += list(-(targets * logs).sum(axis=1))
            slope = (np.exp(logs) - targets) / len(rows)
            gradients = {"weight": slope.T @ inputs[rows], "bias": slope.sum(axis=0)}
            now = rate * (1 + math.cos(math.pi * step / steps)) / 2
            step += 1
            for name, value in parameters.items():
                value *= 1 - now * decay
                first[name] = 0.9 * first[name] + 0.1 * gradients[name]
                second[name] = 0.999 * second[name] + 0.001 * gradients[name] ** 2
                scale = np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
                value -= now * (first[name] / (1 - 0.9**step)) / scale
        logs = log_softmax(valid @ parameters["weight"].T + parameters["bias"])
        records.append(
            {
                "epoch": epoch,
                "train_loss": sum(losses) / IMAGES,
                "valid_loss": -float(logs[np.arange(20), valid_labels].mean()),
                "valid_top1": float((logs.argmax(axis=1) == valid_labels).mean()),
            }
        )
    return records


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_loss_and_accuracy_are_those_of_an_independent_computation(run: Fit, batch_size: int) -> None:
    found = run(linear_stage(batch_size))
    expected = by_hand(batch_size, smoothing=0.1, decay=0.01, rate=0.01)
    assert len(found) == len(expected) == EPOCHS
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_the_best_epoch_is_kept_and_training_ends_when_no_better_one_comes(tmp_path: Path) -> None:
    layer = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(layer.weight)
    seen: list[Tensor] = []
    losses = iter([3.0, 1.0, 2.0, 2.0, 2.0, 0.5])

    def valid_logits() -> Tensor:
        seen.append(layer.weight.detach().clone())
        return torch.tensor([[0.0, math.log(math.exp(next(losses)) - 1)]])  # the cross-entropy of class 0

    stage = Stage(
        name="head",
        module=layer,
        train_logits=lambda rows: layer(torch.ones(len(rows), 1)),
        valid_logits=valid_logits,
        train_labels=torch.tensor([0, 0]),
        valid_labels=torch.tensor([0]),
        epochs=6,
        batch_size=2,
        learning_rate=0.1,
    )
    history = fit(stage, arguments("--patience", "3"), Checkpoints(tmp_path, "key"), Hosts(), StopSignal())
    assert [record["valid_loss"] for record in history] == pytest.approx([3, 1, 2, 2, 2])
    assert torch.equal(layer.weight, seen[1])
    assert not torch.equal(layer.weight, seen[-1])


def test_a_loss_that_is_no_number_names_the_step_and_keeps_the_last_good(tmp_path: Path) -> None:
    stage = linear_stage(batch_size=7)
    whole, calls, good = stage.train_logits, 0, {}

    def break_in_epoch_two(rows: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 9:  # eight steps make an epoch
            good.update(stage.copy_of_state())
        return whole(rows) * (math.nan if calls == 11 else 1)

    broken = Stage(**{**vars(stage), "train_logits": break_in_epoch_two})
    checkpoints = Checkpoints(tmp_path, "key")
    with pytest.raises(
        TrainingError, match=r"no finite number any more at step 3 of epoch 2: lower --learning-rate"
    ) as error:
        fit(broken, arguments(), checkpoints, Hosts(), StopSignal())
    assert f"The weights of epoch 1 are kept in {tmp_path / 'key' / 'head-last-good'}." in str(error.value)
    saved = checkpoints.load("head-last-good")
    assert saved
    assert all(torch.equal(saved[0][name], good[name]) for name in good)
    assert checkpoints.load("head") is None


def test_a_checkpoint_has_place_optimiser_best_epoch_and_random_numbers(tmp_path: Path) -> None:
    checkpoints, stop = Checkpoints(tmp_path, "key"), StopSignal()
    stage = linear_stage(batch_size=7)
    fit(stage, arguments(), checkpoints, Hosts(), stop)
    saved = checkpoints.load("head")
    assert saved
    tensors, facts = saved
    assert (facts["epoch"], facts["step"], len(facts["history"])) == (EPOCHS + 1, 0, EPOCHS)
    assert {"order_state", "state", "optimizer.0.exp_avg", "optimizer.1.exp_avg_sq"} <= tensors.keys()
    best = without_prefix("best.", tensors)
    assert all(torch.equal(best[name], value) for name, value in stage.module.state_dict().items())

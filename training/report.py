"""The run on paper: metrics.json, the learning curves and the confusion matrix."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")  # before pyplot: there is no display in a training container

import matplotlib.pyplot as plt
from torch import Tensor

LABELLED_CLASSES_AT_MOST = 200
MOST_CONFUSED = 20


def write_report(
    output_dir: Path,
    metrics: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
    classes: Sequence[str],
    confusion: Tensor,
) -> None:
    """Write metrics.json, curves.png and confusion.png. `confusion[i, j]` counts images of class i taken for j."""
    output_dir.mkdir(parents=True, exist_ok=True)
    content = {**metrics, "most_confused": most_confused(classes, confusion), "history": list(history)}
    (output_dir / "metrics.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    plot_curves(output_dir / "curves.png", history)
    plot_confusion(output_dir / "confusion.png", classes, confusion)


def most_confused(classes: Sequence[str], confusion: Tensor) -> list[dict[str, Any]]:
    """The pairs that were mistaken most often, worst first."""
    mistakes = confusion.clone().fill_diagonal_(0)
    counts, places = mistakes.flatten().sort(descending=True, stable=True)
    return [
        {"class": classes[place // len(classes)], "taken_for": classes[place % len(classes)], "images": count}
        for count, place in zip(counts[:MOST_CONFUSED].tolist(), places[:MOST_CONFUSED].tolist(), strict=True)
        if count
    ]


def plot_curves(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Losses on the left, validation top-1 on the right, by epoch."""
    epochs = [entry["epoch"] for entry in history]
    figure, (losses, accuracy) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    losses.plot(epochs, [entry["train_loss"] for entry in history], label="train (with label smoothing)")
    losses.plot(epochs, [entry["valid_loss"] for entry in history], label="validation")
    losses.set(xlabel="epoch", ylabel="cross-entropy", title="Loss", ylim=(0, None))
    losses.legend()
    accuracy.plot(epochs, [entry["valid_top1"] for entry in history], color="tab:green")
    accuracy.set(xlabel="epoch", ylabel="share of validation images", title="Top-1", ylim=(0, 1))
    for axes in (losses, accuracy):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_confusion(path: Path, classes: Sequence[str], confusion: Tensor) -> None:
    """Each row is a true class and adds up to 1. The figure grows with the classes, so that names stay legible."""
    shares = confusion / confusion.sum(dim=1, keepdim=True).clamp(min=1)
    side_inches = max(6.0, 2.5 + 0.13 * len(classes))
    figure, axes = plt.subplots(figsize=(side_inches, side_inches), layout="constrained")
    image = axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel="taken for", ylabel="true class", title=f"Test images by class ({int(confusion.sum())} in all)")
    if len(classes) <= LABELLED_CLASSES_AT_MOST:
        font_size = 8 if len(classes) <= 30 else 6
        axes.set_xticks(range(len(classes)), classes, rotation=90, fontsize=font_size)
        axes.set_yticks(range(len(classes)), classes, fontsize=font_size)
    figure.colorbar(image, ax=axes, shrink=0.5, fraction=0.03, pad=0.01, label="share of the true class")
    figure.savefig(path, dpi=120)
    plt.close(figure)

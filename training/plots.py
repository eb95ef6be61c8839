"""The plots of a report, each as the bytes of a PNG."""

import io
from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("agg")  # before pyplot: there is no display in a training container

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from training.evaluation import CALIBRATION_BINS, CalibrationBin

LABELLED_CLASSES_AT_MOST = 200
STAGE_TITLES = {"head": "Head", "fine_tuning": "Fine-tuning"}


def plot_curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> bytes:
    """A row for each stage of training: losses on the left, validation top-1 on the right, by epoch."""
    rows = len(histories)
    figure, grid = plt.subplots(rows, 2, figsize=(10, 4 * rows), layout="constrained", squeeze=False)
    for (losses, accuracy), (stage, history) in zip(grid, histories.items(), strict=True):
        epochs = [entry["epoch"] for entry in history]
        losses.plot(
            epochs, [entry["train_loss"] for entry in history], label="train (with label smoothing)", marker="."
        )
        losses.plot(epochs, [entry["valid_loss"] for entry in history], label="validation", marker=".")
        losses.set(xlabel="epoch", ylabel="cross-entropy", title=f"{STAGE_TITLES[stage]}: loss", ylim=(0, None))
        losses.legend()
        accuracy.plot(epochs, [entry["valid_top1"] for entry in history], color="tab:green", marker=".")
        accuracy.set(xlabel="epoch", ylabel="share of validation images", ylim=(0, 1))
        accuracy.set(title=f"{STAGE_TITLES[stage]}: top-1")
        for axes in (losses, accuracy):
            axes.grid(alpha=0.3)
            axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    return png(figure)


def plot_confusion(classes: Sequence[str], confusion: Tensor) -> bytes:
    """Each row is a true class and adds up to 1. The figure grows with the classes while their names are on it."""
    shares = confusion / confusion.sum(dim=1, keepdim=True).clamp(min=1)
    side_inches = max(6.0, 2.5 + 0.13 * min(len(classes), LABELLED_CLASSES_AT_MOST))
    figure, axes = plt.subplots(figsize=(side_inches, side_inches), layout="constrained")
    image = axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel="taken for", ylabel="true class", title=f"Test images by class ({int(confusion.sum())} in all)")
    if len(classes) <= LABELLED_CLASSES_AT_MOST:
        font_size = 8 if len(classes) <= 30 else 6
        # matplotlib takes no half of a surrogate pair, which is what Python makes of a folder's name that is not UTF-8.
        names = [name.encode("utf-8", "backslashreplace").decode() for name in classes]
        # And a dollar sign in a name is no formula.
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=font_size, parse_math=False)
        axes.set_yticks(range(len(names)), names, fontsize=font_size, parse_math=False)
    figure.colorbar(image, ax=axes, shrink=0.5, fraction=0.03, pad=0.01, label="share of the true class")
    return png(figure)


def plot_calibration(bins: Sequence[CalibrationBin]) -> bytes:
    """How often answers of some probability are right, and below it how many answers have that probability."""
    figure, (accuracy, images) = plt.subplots(
        2, 1, figsize=(6, 6), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    width = 1 / CALIBRATION_BINS
    lows = [part.low for part in bins]
    accuracy.bar(lows, [part.accuracy or 0 for part in bins], width, align="edge", edgecolor="white", label="measured")
    accuracy.plot((0, 1), (0, 1), linestyle="--", color="tab:gray", label="perfectly calibrated")
    accuracy.set(ylabel="share that is right", title="Calibration", xlim=(0, 1), ylim=(0, 1))
    accuracy.legend(loc="upper left")
    images.bar(lows, [part.images for part in bins], width, align="edge", edgecolor="white", color="tab:gray")
    images.set(xlabel="probability of the answer", ylabel="test images")
    for axes in (accuracy, images):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    return png(figure)


def png(figure: Figure) -> bytes:
    """Draw a figure, and let go of it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    plt.close(figure)
    return buffer.getvalue()

"""From what was printed and measured to build/bench/training.json, its table and its plot."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from tests.benchmarks.machine import describe_machine
from tests.benchmarks.training.runs import BenchmarkError, Record, Run

LABELS = {"seed": "seed as it stands", "seed_normalised": "seed, normalised", "ours": "ours"}
COLOURS = {"seed": "#a88f78", "seed_normalised": "#7d9db5", "ours": "#d9622b"}
# What passes before a head can be trained, and its training; export, test and report come after.
TRAINING_PHASES = ("prepare", "features", "head")
HOW = (
    "Times count from the start of a process. Both sides' time to an accuracy is taken on validation, their final "
    "accuracy on test. Looks at the test split are not on the seed's clock; test, export and report are on ours."
)

Figures = Mapping[str, Any]


def seed_figures(ran: Run) -> dict[str, Any]:
    """What a run of the seed's loop comes to, without its looks at the test split.

    Each of `epochs` has `elapsed_seconds` since the start of the process, and `test_top1` after it.
    """
    epochs: list[Record] = []
    test_seconds = test_cpu_seconds = 0.0
    for record in ran.records:
        if "epoch" in record:
            epochs.append({**record, "elapsed_seconds": record["elapsed_seconds"] - test_seconds})
        elif "test_top1" in record:
            epochs[-1]["test_top1"] = record["test_top1"]
            test_seconds += record["test_seconds"]
            test_cpu_seconds += record["test_cpu_seconds"]
    images = next(record["images_per_epoch"] for record in ran.records if "images_per_epoch" in record)
    epoch_seconds = median(epoch["epoch_seconds"] for epoch in epochs)
    return {
        "epochs": epochs,
        "images_per_epoch": images,
        "epoch_seconds": epoch_seconds,
        "images_per_second": images / epoch_seconds,
        "best_valid_top1": max(epoch["valid_top1"] for epoch in epochs),
        # Chosen on test, in the seed's favour.
        "test_top1": max(epoch["test_top1"] for epoch in epochs),
        "wall_seconds": ran.wall_seconds - test_seconds,
        "cpu_seconds": ran.cpu_seconds - test_cpu_seconds,
        "peak_memory_mb": ran.peak_memory_mb,
    }


def our_figures(ran: Run, metrics: Figures, images: int) -> dict[str, Any]:
    """What a run of ours comes to; `metrics` is its metrics.json, `images` those of train and valid."""
    epochs = [record for record in ran.records if "epoch" in record and "valid_top1" in record]
    if not epochs:
        raise BenchmarkError("Our training printed no line of epoch=… valid_top1=…: nothing can be compared.")
    return {
        "epochs": epochs,
        "images_per_second": images / sum(metrics["seconds"][phase] for phase in TRAINING_PHASES),
        "best_valid_top1": max(epoch["valid_top1"] for epoch in epochs),
        "test_top1": metrics["test_top1"],
        "wall_seconds": ran.wall_seconds,
        "cpu_seconds": ran.cpu_seconds,
        "peak_memory_mb": ran.peak_memory_mb,
        "phase_seconds": metrics["seconds"],
    }


def seconds_to(top1: float, epochs: Sequence[Record]) -> float:
    """Seconds to the first epoch whose validation accuracy is at least `top1`; infinite where there is none."""
    return next((epoch["elapsed_seconds"] for epoch in epochs if epoch["valid_top1"] >= top1), math.inf)


def summarise(seed: Figures, normalised: Figures, runs: Sequence[Figures], trials: Sequence[float]) -> dict[str, Any]:
    """Ours, the median over `runs`, against the normalised seed. `trials` are seconds.

    `speedup_to_seed_best` is null where the median run of ours does not get there.
    """
    best = normalised["best_valid_top1"]
    ours: dict[str, Any] = {
        name: median(found[name] for found in runs)
        for name in ("images_per_second", "best_valid_top1", "test_top1", "wall_seconds", "cpu_seconds")
    }
    ours["peak_memory_mb"] = max(found["peak_memory_mb"] for found in runs)
    reached = {
        "seed": seconds_to(best, seed["epochs"]),
        "seed_normalised": seconds_to(best, normalised["epochs"]),
        "ours": median(seconds_to(best, found["epochs"]) for found in runs),
    }
    found = {
        name: {**figures, "seconds_to_seed_best": reached[name] if math.isfinite(reached[name]) else None}
        for name, figures in {"seed": seed, "seed_normalised": normalised, "ours": {**ours, "runs": runs}}.items()
    }
    return {
        "speedup_to_seed_best": reached["seed_normalised"] / reached["ours"] or None,  # by infinity is 0
        "accuracy_gain_points": 100 * (ours["test_top1"] - normalised["test_top1"]),
        "trial_ratio": normalised["epoch_seconds"] / median(trials),
        "peak_memory_mb": ours["peak_memory_mb"],
        "seed_best_valid_top1": best,
        "trial_seconds": trials,
        **found,
    }


def write_report(figures: Figures, target: Path) -> None:
    """Write `target`.json, .md and .png."""
    machine = describe_machine()
    conditions = f"{figures['seed']['images_per_epoch']} images for training and validation. {HOW}"
    content = {**figures, "conditions": conditions, "machine": machine}
    target.with_suffix(".json").write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    tables = f"{table(figures)}\n\n{against_targets(figures)}"
    target.with_suffix(".md").write_text(f"{tables}\n\n{conditions} {machine}\n")
    plot(figures, target.with_suffix(".png"))


def plain(name: str, digits: int, scale: float = 1, unit: str = "") -> Callable[[Figures], str]:
    """A figure, times `scale`. There is none where it needs an accuracy that was not reached."""
    return lambda found: "not reached" if found[name] is None else f"{scale * found[name]:,.{digits}f}{unit}"


def epoch_count(found: Figures) -> str:
    """Of ours the median over its runs."""
    return f"{median(len(run['epochs']) for run in found.get('runs', [found])):.0f}"


def table(figures: Figures) -> str:
    """The three side by side, in Markdown."""
    best = 100 * figures["seed_best_valid_top1"]
    rows: Mapping[str, Callable[[Figures], str]] = {
        "epochs": epoch_count,
        "best validation top-1, %": plain("best_valid_top1", 1, 100),
        f"time to {best:.1f} % of validation, s": plain("seconds_to_seed_best", 1),
        "test top-1, %": plain("test_top1", 1, 100),
        "images/s": plain("images_per_second", 1),
        "whole run, s": plain("wall_seconds", 1),
        "whole run, CPU s": plain("cpu_seconds", 0),
        "peak memory, MB": plain("peak_memory_mb", 0),
    }
    lines = [f"| | {' | '.join(LABELS.values())} |", f"|---|{'---|' * len(LABELS)}"]
    lines += [f"| {title} | {' | '.join(cell(figures[name]) for name in LABELS)} |" for title, cell in rows.items()]
    return "\n".join(lines)


def against_targets(figures: Figures) -> str:
    """What was asked beside what was found, in Markdown."""
    rows = {
        "faster to the normalised seed's best": ("≥ 20 times", plain("speedup_to_seed_best", 1, unit=" times")),
        "better on test than its best": ("≥ 5 points", plain("accuracy_gain_points", 1, unit=" points")),
        "a search trial, cheaper than one of its epochs": ("≥ 100 times", plain("trial_ratio", 0, unit=" times")),
        "peak memory": ("≤ 1,500 MB", plain("peak_memory_mb", 0, unit=" MB")),
    }
    lines = ["| | asked | measured |", "|---|---|---|"]
    lines += [f"| {title} | {asked} | {cell(figures)} |" for title, (asked, cell) in rows.items()]
    return "\n".join(lines)


def plot(figures: Figures, path: Path) -> None:
    """Accuracy over time, and bars of what a machine notices most."""
    bars = {
        "images/s": "images_per_second",
        "whole run, CPU s": "cpu_seconds",
        "peak memory, MB": "peak_memory_mb",
        "test top-1": "test_top1",
    }
    figure, axes = plt.subplots(
        1, 1 + len(bars), figsize=(14, 3.8), layout="constrained", width_ratios=[3] + [1] * len(bars)
    )
    plot_curves(figures, axes[0])
    for axis, (title, name) in zip(axes[1:], bars.items(), strict=True):
        heights = [figures[side][name] for side in LABELS]
        drawn = axis.bar(range(len(heights)), heights, color=[COLOURS[side] for side in LABELS])
        axis.bar_label(drawn, [f"{height:.2f}" if height < 1 else f"{height:,.0f}" for height in heights], fontsize=8)
        axis.set_xticks([])
        axis.set_title(title, fontsize=10)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_curves(figures: Figures, axis: Axes) -> None:
    """Validation accuracy over the time since the process started, of every run."""
    for side in ("seed", "seed_normalised"):
        draw_curve(axis, figures[side]["epochs"], side, LABELS[side])
    for number, found in enumerate(figures["ours"]["runs"]):
        draw_curve(axis, found["epochs"], "ours", LABELS["ours"] if number == 0 else "")
    axis.axhline(figures["seed_best_valid_top1"], color="#999999", linestyle=":", label="best of the normalised seed")
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("seconds since the start", fontsize=9)
    axis.set_title("validation top-1", fontsize=10)


def draw_curve(axis: Axes, epochs: Sequence[Record], side: str, label: str) -> None:
    """A run's epochs. An empty label keeps it out of the legend."""
    seconds, top1 = zip(*((epoch["elapsed_seconds"], epoch["valid_top1"]) for epoch in epochs), strict=True)
    axis.plot(seconds, top1, "o-", markersize=4, color=COLOURS[side], label=label or "_")

"""From the rounds' figures to build/bench/serving.json, its table and its plot."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib.pyplot as plt

from tests.benchmarks.machine import describe_machine

TORCHSERVE = ("seed_torchserve_1_worker", "seed_torchserve_2_workers")
SEED_HERE, OURS = "seed_under_our_server", "ours"
LABELS = {
    TORCHSERVE[0]: "seed under TorchServe, 1 worker",
    TORCHSERVE[1]: "seed under TorchServe, 2 workers",
    SEED_HERE: "seed under our server",
    OURS: "ours",
}
COLOURS = ("#c9b8a8", "#a88f78", "#7d9db5", "#d9622b")

Figures = Mapping[str, Any]


def summarise(rounds: Sequence[Figures], overhead: Figures, served: Figures, reference_top1: float) -> dict[str, Any]:
    """A backbone's figures: ours against the better of TorchServe's two in each figure, and all medians.

    `rounds` has the figures by contender; `overhead` what the server adds; `served` the endpoint's `top1` (0 to 1) and
    precision; `reference_top1` is what the same weights get right in PyTorch and fp32.
    """
    contenders = medians(rounds)
    mine, seeds = contenders[OURS], [contenders[name] for name in TORCHSERVE]
    p50_ms = mine["clients_1"]["p50_ms"]
    return {
        "p50_ratio": min(seed["clients_1"]["p50_ms"] for seed in seeds) / p50_ms,
        "throughput_ratio": mine["clients_32"]["requests_per_second"]
        / max(seed["clients_32"]["requests_per_second"] for seed in seeds),
        "rss_ratio": mine["pss_mib"] / min(seed["pss_mib"] for seed in seeds),
        "ready_seconds": mine["ready_seconds"],
        **overhead,
        "p99_over_p50_at_8_clients": mine["clients_8"]["p99_ms"] / mine["clients_8"]["p50_ms"],
        "top1_drop_points": 100 * (reference_top1 - served["top1"]),
        "top1": {"fp32_torch": reference_top1, "served": served["top1"]},
        "precision": served["precision"],
        "contenders": contenders,
    }


def medians(rounds: Sequence[Figures]) -> dict[str, Any]:
    """The median of each figure over the rounds, at any depth."""
    merged: dict[str, Any] = {}
    for name, first in rounds[0].items():
        values = [found[name] for found in rounds]
        merged[name] = medians(values) if isinstance(first, Mapping) else median(values)
    return merged


def write_report(backbones: Mapping[str, Figures], conditions: str, target: Path) -> None:
    """Write `target`.json, .md and .png."""
    machine = describe_machine()
    content = {**backbones, "conditions": conditions, "machine": machine}
    target.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n")
    tables = "\n".join(table(name, figures) for name, figures in backbones.items())
    target.with_suffix(".md").write_text(f"{tables}\n{conditions} {machine}\n")
    plot(backbones, target.with_suffix(".png"))


def quantiles(clients: int) -> Callable[[Figures], str]:
    """p50 / p95 / p99 in milliseconds."""
    return lambda found: " / ".join(f"{found[f'clients_{clients}'][f'p{q}_ms']:.1f}" for q in (50, 95, 99))


def at(clients: int, figure: str, digits: int) -> Callable[[Figures], str]:
    """A figure of one load."""
    return lambda found: f"{found[f'clients_{clients}'][figure]:.{digits}f}"


ROWS: Mapping[str, Callable[[Figures], str]] = {
    **{f"p50 / p95 / p99, ms, clients: {n}": quantiles(n) for n in (1, 8, 32)},
    **{f"requests/s, clients: {n}": at(n, "requests_per_second", 1) for n in (1, 8, 32)},
    "CPU ms per request, clients: 32": at(32, "cpu_ms_per_request", 1),
    "memory (PSS of the tree), MiB": lambda found: f"{found['pss_mib']:.0f}",
    "start to 200 of /ping, s": lambda found: f"{found['ping_seconds']:.1f}",
    "start to the first answer, s": lambda found: f"{found['ready_seconds']:.1f}",
    "load generator, CPU ms per request": at(32, "generator_cpu_ms_per_request", 2),
}


def table(backbone: str, figures: Figures) -> str:
    """The contenders side by side, in Markdown, and what follows from them."""
    contenders = figures["contenders"]
    lines = [f"| {backbone} | {' | '.join(LABELS[name] for name in contenders)} |", f"|---|{'---|' * len(contenders)}"]
    for title, cell in ROWS.items():
        lines.append(f"| {title} | {' | '.join(cell(found) for found in contenders.values())} |")
    lines += ["", verdict(backbone, figures), ""]
    return "\n".join(lines)


def verdict(backbone: str, figures: Figures) -> str:
    """Ours against the better of TorchServe's, and what the targets speak of besides, in a sentence."""
    top1 = figures["top1"]
    return (
        f"{backbone} in {figures['precision']}: p50 {figures['p50_ratio']:.1f} times and throughput at 32 clients "
        f"{figures['throughput_ratio']:.1f} times as good as the better of TorchServe's, memory "
        f"{figures['rss_ratio']:.2f} of it; over HTTP {figures['overhead_ms']:.2f} ms above the handlers and "
        f"{figures['overhead_over_engine_ms']:.2f} ms above the bare engine; at 8 clients p99 is "
        f"{figures['p99_over_p50_at_8_clients']:.1f} times p50; top-1 {100 * top1['served']:.2f} %, in fp32 "
        f"{100 * top1['fp32_torch']:.2f} %."
    )


def plot(backbones: Mapping[str, Figures], path: Path) -> None:
    """Bars of what a caller and an instance notice most."""
    panels: Mapping[str, Callable[[Figures], float]] = {
        "p50 at 1 client, ms": lambda found: found["clients_1"]["p50_ms"],
        "requests/s at 32 clients": lambda found: found["clients_32"]["requests_per_second"],
        "memory, MiB": lambda found: found["pss_mib"],
        "start to first answer, s": lambda found: found["ready_seconds"],
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(13, 3.6), layout="constrained")
    width = 0.8 / len(LABELS)
    for axis, (title, value) in zip(axes, panels.items(), strict=True):
        for place, (name, label) in enumerate(LABELS.items()):
            heights = [value(figures["contenders"][name]) for figures in backbones.values()]
            positions = [group + (place - 1.5) * width for group in range(len(backbones))]
            bars = axis.bar(positions, heights, width, label=label, color=COLOURS[place])
            axis.bar_label(bars, [f"{height:.{0 if height >= 100 else 1}f}" for height in heights], fontsize=7)
        axis.set_xticks(range(len(backbones)), backbones, fontsize=8)
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(LABELS), fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)

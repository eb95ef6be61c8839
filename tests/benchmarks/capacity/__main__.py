"""What a traffic needs, costs, and meets while the endpoint scales, from the throughput measured on this machine.

    TRAFFIC=100 python -m tests.benchmarks.capacity

Reads build/bench/serving.json (`make bench-serving`). Writes build/bench/capacity.json and capacity.png: an hour with a
jump to five times the traffic, simulated with the seed's settings and with the planned ones, each with both metrics, at
1, 10, 100 and 10,000 requests a second. The cost is of the peak, all month.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from ops.cost import BACKBONE, BENCH
from ops.outputs import ToolError, run
from tests.benchmarks.capacity.plan import Instance, Plan, Settings, plan, seed
from tests.benchmarks.capacity.simulation import Series, day, simulate

INSTANCE_TYPE = "ml.c7i.large"
TRAFFICS = (1, 10, 100, 10_000)
METRICS = {60: "per minute", 10: "simultaneous"}


def measured() -> Instance:
    """What one instance does, by the last measurement. Raises ToolError."""
    try:
        return Instance.measured(json.loads((BENCH / "serving.json").read_text())[BACKBONE])
    except (FileNotFoundError, KeyError):
        raise ToolError("Nothing is measured yet: run `make bench-serving` first.") from None


def summary(found: Mapping[str, Series], settings: Settings) -> dict[str, Any]:
    """An hour in figures. p99 is that of the worst minute."""
    arrived = found["arrived"].sum()
    minutes = found["p99"].reshape(-1, 60)
    return {
        "settings": asdict(settings),
        "requests": int(arrived),
        "throttled_percent": round(100 * found["throttled"].sum() / arrived, 2),
        "turned_away_percent": round(100 * found["turned_away"].sum() / arrived, 2),
        "most_instances": int(found["instances"].max()),
        "instance_hours": round(found["instances"].sum() / 3600, 2),
        "worst_p99_ms": round(1000 * float(np.percentile(minutes, 99, axis=1).max()), 1),
    }


def simulated(traffic: float, instance: Instance, needs: Plan) -> dict[str, Mapping[str, Series]]:
    """The four hours of one traffic, by "<settings>, <metric>"."""
    every = [settings for seconds in METRICS for settings in (seed(seconds), needs.settings(seconds))]
    return {f"{s.name}, {METRICS[s.metric_seconds]}": simulate(day(traffic), instance, s) for s in every}


def plot(hours: Mapping[float, Mapping[str, Mapping[str, Series]]], path: Path) -> None:
    """A row a traffic; by minute: requests, instances, rejected, p99."""
    titles = ("requests/s", "instances", "rejected/s", "p99, ms")
    figure, axes = plt.subplots(len(hours), len(titles), figsize=(15, 3 * len(hours)), layout="constrained")
    for row, (traffic, scenarios) in zip(axes, hours.items(), strict=True):
        for number, (name, found) in enumerate(scenarios.items()):
            color, line = ("#8a8f98", "#d9622b")[number % 2], ("--", "-")[number // 2]
            rejected = found["throttled"] + found["turned_away"]
            shown = (found["arrived"], found["instances"], rejected, 1000 * found["p99"])
            for axis, series in zip(row, shown, strict=True):
                axis.plot(series.reshape(-1, 60).mean(axis=1), color=color, linestyle=line, label=name)
        for axis, title in zip(row, titles, strict=True):
            axis.set_title(f"{title} (peak {traffic:,g}/s)", fontsize=9)
            axis.set_ylim(bottom=0)
        row[0].set_ylabel("by minute")
    axes[0][1].legend(fontsize=8)
    figure.savefig(path, dpi=80)


def describe(needs: Plan) -> str:
    """The plan of a traffic, in lines."""
    settings = needs.settings(10)
    return (
        f"{needs.traffic:,g} requests a second at the peak, on {INSTANCE_TYPE}:\n"
        f"  endpoint_scaling: {settings.min_instances} to {settings.max_instances} instances ({needs.instances} at the "
        f"peak, busy to 70 % at most), target_simultaneous_requests {needs.target_simultaneous:g} "
        f"(or {needs.target_per_minute:,} a minute)"
        + ("; terraform/variables.tf ends at 20, for a bill's sake" if settings.max_instances > 20 else "")
        + "\n"
        f"  function_reserved_concurrency: {needs.reserved:,}"
        + (" (beside the 100 that stay unreserved, more than a new account has)" if needs.reserved > 900 else "")
        + f"\n  {needs.monthly_usd:,.0f} USD a month, {needs.usd_per_million:.2f} USD a million requests"
    )


def main() -> None:
    """Command line."""
    try:
        asked = float(os.environ.get("TRAFFIC") or 0)
    except ValueError:
        asked = -1
    if not 0 <= asked <= 100_000:
        raise ToolError(f"TRAFFIC is requests a second, 100000 at most, not {os.environ['TRAFFIC']!r}.")
    instance, prices = measured(), json.loads(Path("ops/prices.json").read_text())
    hours, figures = {}, {}
    for traffic in (asked,) if asked else TRAFFICS:
        needs = plan(traffic, instance, prices, INSTANCE_TYPE)
        hours[traffic] = simulated(traffic, instance, needs)
        print(describe(needs))
        figures[f"{traffic:g}"] = {"plan": asdict(needs), "hour": {}}
        for name, found in hours[traffic].items():
            seconds = 10 if name.endswith(METRICS[10]) else 60
            settings = seed(seconds) if name.startswith("seed") else needs.settings(seconds)
            figures[f"{traffic:g}"]["hour"][name] = hour = summary(found, settings)
            print(
                f"    {name:<22}{hour['throttled_percent']:6.1f} % throttled, {hour['turned_away_percent']:5.1f} % "
                f"turned away, {hour['most_instances']} instances, worst p99 {hour['worst_p99_ms']:,.0f} ms"
            )
    (BENCH / "capacity.json").write_text(json.dumps(figures, indent=2) + "\n")
    plot(hours, BENCH / "capacity.png")
    print(f"Prices: {prices['read']}. The hour as a picture: {BENCH / 'capacity.png'}")


if __name__ == "__main__":
    run(main)

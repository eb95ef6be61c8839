"""Measure the endpoint beside the seed's, on the same photographs and weights, in one session.

    python -m tests.benchmarks.serving [--data DATA] [--rounds 3]

Four contenders take turns in each round, each started afresh: the seed's handlers under TorchServe with one worker and
with two, the same handlers under our HTTP server, and ours. Figures are medians over the rounds. They go to
build/bench/serving.json, with a table (.md) and a plot (.png) beside it.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from tests.benchmarks.serving.measure import added_by_the_server, measure, served_accuracy
from tests.benchmarks.serving.report import OURS, SEED_HERE, TORCHSERVE, summarise, write_report
from tests.benchmarks.serving.servers import (
    REPOSITORY,
    Contender,
    ServerError,
    ours,
    seed_under_our_server,
    short_folder,
    torchserve,
)

OUT = REPOSITORY / "build" / "bench"
WORK = OUT / "serving"


def make_artifacts(data: str) -> Mapping[str, Any]:
    """What there is to measure, made in a process of its own.

    The pages of PyTorch must not be ours too, or the servers' share of them (PSS) would look smaller than it is.
    """
    arguments = [str(WORK), *([data] if data else [])]
    made = subprocess.run([sys.executable, "-m", "tests.benchmarks.serving.artifacts", *arguments], cwd=REPOSITORY)
    if made.returncode:
        sys.exit(made.returncode)
    found: Mapping[str, Any] = json.loads((WORK / "made.json").read_text())
    return found


def run_round(backbone: str, images: list[str]) -> dict[str, Any]:
    """The figures of every contender, by its name."""
    base = WORK / backbone
    found: dict[str, Any] = {}

    def take(name: str, contender: Contender) -> None:
        started = time.perf_counter()
        found[name] = measure(contender, images, base / f"{name}.log")
        one, many = found[name]["clients_1"], found[name]["clients_32"]
        print(
            f"{backbone} {name}: p50 {one['p50_ms']:.1f} ms, {many['requests_per_second']:.0f} requests/s "
            f"({time.perf_counter() - started:.0f} s)",
            flush=True,
        )

    for workers, name in enumerate(TORCHSERVE, start=1):
        with short_folder() as folder:
            take(name, torchserve(base / "seed", folder, workers))
    take(SEED_HERE, seed_under_our_server(base / "seed"))
    take(OURS, ours(base / "ours"))
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--data", default="", help="folder of photographs, as training takes it (default: drawn breeds)"
    )
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    made = make_artifacts(arguments.data)
    try:
        figures = {}
        for backbone, reference in made["references"].items():
            rounds = [run_round(backbone, made["send"]) for _ in range(arguments.rounds)]
            mine, log = ours(WORK / backbone / "ours"), WORK / backbone / "more.log"
            overhead = added_by_the_server(mine, made["send"], log)
            served = served_accuracy(mine, reference["test"], log)
            figures[backbone] = summarise(rounds, overhead, served, reference["top1"])
    except ServerError as error:
        sys.exit(str(error))
    write_report(figures, f"Photographs: {made['photographs']}. Rounds: {arguments.rounds}.", OUT / "serving")
    print((OUT / "serving.md").read_text())


if __name__ == "__main__":
    main()

"""Measure what a second host is worth: one CPU as one host, two CPUs as two, on the same photographs.

    python -m tests.benchmarks.hosts --data DATA [--rounds 3]

Each host is a process bound to a CPU of its own; they speak over loopback, so the network is better than any real one,
and they share the machine's memory and caches, which is worse. Figures go to build/bench/hosts.json.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.machine import describe_machine
from tests.benchmarks.training.__main__ import check_data
from tests.benchmarks.training.runs import REPOSITORY, BenchmarkError

OUT = REPOSITORY / "build" / "bench"
WORK = OUT / "hosts"
STAGES = ("features", "head", "fine_tuning")
BOUND_TO_A_CPU = (
    "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])});from training.train import main; main(sys.argv[2:])"
)
ARGUMENTS = ("--run-id", "run-bench", "--calibration-images", "0", "--epochs", "10", "--fine-tune-epochs", "1")


def train(data: Path, hosts: int) -> dict[str, Any]:
    """Train on so many hosts. Returns the leader's metrics. Raises BenchmarkError."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    processes = []
    for rank in range(hosts):
        folder = WORK / str(rank)
        places = ["--data", str(data), "--model-dir", str(folder / "model"), "--output-dir", str(folder / "output")]
        names = {"RANK": str(rank), "WORLD_SIZE": str(hosts), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        with (WORK / f"{rank}.log").open("w") as log:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", BOUND_TO_A_CPU, str(rank), *places, *ARGUMENTS],
                    cwd=REPOSITORY,
                    env={**os.environ, **names, "GLOO_SOCKET_IFNAME": "lo"},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
    if any([process.wait() for process in processes]):
        raise BenchmarkError(f"A host failed: see the logs in {WORK}.")
    metrics: dict[str, Any] = json.loads((WORK / "0" / "output" / "metrics.json").read_text())
    return metrics


def summarise(rounds: list[dict[int, dict[str, Any]]]) -> dict[str, Any]:
    """By stage: the median seconds of one and of two hosts, and how much of the second host is gained (1: all)."""
    found: dict[str, Any] = {}
    for stage in STAGES:
        seconds = {hosts: median(one[hosts]["seconds"][stage] for one in rounds) for hosts in (1, 2)}
        ratios = [one[1]["seconds"][stage] / one[2]["seconds"][stage] for one in rounds]
        found[stage] = {"seconds": seconds, "efficiency": median(ratios) / 2}
    first = rounds[0]
    found["largest_difference_of_the_head"] = max(
        abs(one[name] - two[name])
        for one, two in zip(first[1]["history"], first[2]["history"], strict=True)
        for name in one
    )
    return {**found, "images": first[1]["images"], "machine": describe_machine()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    try:
        if len(os.sched_getaffinity(0)) < 2:
            raise BenchmarkError("Two hosts need two CPUs, and this machine has one.")
        data = check_data(arguments.data)
        figures = summarise([{hosts: train(data, hosts) for hosts in (1, 2)} for _ in range(arguments.rounds)])
    except BenchmarkError as error:
        sys.exit(str(error))
    (OUT / "hosts.json").write_text(json.dumps(figures, indent=2) + "\n")
    for stage in STAGES:
        one, two = figures[stage]["seconds"].values()
        print(f"{stage}: {one:.1f} s on one host, {two:.1f} s on two: efficiency {figures[stage]['efficiency']:.2f}")
    print(f"largest difference between the heads' figures: {figures['largest_difference_of_the_head']:.1e}")


if __name__ == "__main__":
    main()

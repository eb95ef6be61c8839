"""Measure the training beside the seed's, on the same photographs and backbone weights, in one session.

    python -m tests.benchmarks.training --data DATA [--epochs 5] [--seeds 3]

One after the other, each in a process of its own: the seed's loop as it stands, the same with its faults of arithmetic
mended, ours with each random seed, and a search trial. Figures go to build/bench/training.json, with a table (.md) and
a plot (.png) beside it. --epochs is the most that the mended loop gets.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.training.report import our_figures, seed_figures, summarise, write_report
from tests.benchmarks.training.runs import REPOSITORY, BenchmarkError, Run, run

OUT = REPOSITORY / "build" / "bench"
WORK = OUT / "training"
SPLITS = ("train", "valid", "test")


def check_data(data: str) -> Path:
    """The folder, which must have splits and classes: the seed makes none. Raises BenchmarkError."""
    if not data:
        raise BenchmarkError("There is no data: give DATA=<folder of train/valid/test/<class>/<image>>.")
    folder = Path(data).resolve()
    for split in SPLITS:
        if not (folder / split).is_dir():
            raise BenchmarkError(f"There is no folder {folder / split}: DATA needs train, valid and test.")
        if not any(path.is_dir() for path in (folder / split).iterdir()):
            raise BenchmarkError(f"{folder / split} has no folders of classes: put images into <class>/<image> there.")
    return folder


def run_seed(variant: str, data: Path, epochs: int) -> dict[str, Any]:
    """The figures of the seed's loop."""
    arguments = ["-m", "tests.benchmarks.training.seed_training", variant, str(data), str(epochs)]
    return seed_figures(run(arguments, WORK / f"seed-{variant}.log"))


def run_ours(seed: int, data: Path, images: int) -> dict[str, Any]:
    """The figures of our training, with its default arguments."""
    folder = WORK / f"ours-{seed}"
    places = ["--data", str(data), "--model-dir", str(folder / "model"), "--output-dir", str(folder / "output")]
    ran = run(["-m", "training.train", *places, "--seed", str(seed)], WORK / f"ours-{seed}.log")
    return our_figures(ran, json.loads((folder / "output" / "metrics.json").read_text()), images)


def trial_seconds(ran: Run) -> list[float]:
    return [record["trial_seconds"] for record in ran.records if "trial_seconds" in record]


def measure(data: Path, epochs: int, seeds: int) -> dict[str, Any]:
    """All of it. Raises BenchmarkError."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    print("the seed's loop as it stands …", flush=True)
    seed = run_seed("as-it-stands", data, 1)
    print("the seed's loop, normalised …", flush=True)
    normalised = run_seed("normalised", data, epochs)
    ours = []
    for number in range(seeds):
        print(f"ours, random seed {number} …", flush=True)
        ours.append(run_ours(number, data, seed["images_per_epoch"]))
    print("a search trial …", flush=True)
    trials = trial_seconds(run(["-m", "tests.benchmarks.training.trial", str(data)], WORK / "trial.log"))
    return summarise(seed, normalised, ours, trials)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="", help="folder of train/valid/test/<class>/<image>")
    parser.add_argument("--epochs", type=int, choices=range(1, 51), metavar="1..50", default=5)
    parser.add_argument("--seeds", type=int, choices=range(1, 51), metavar="1..50", default=3)
    arguments = parser.parse_args()
    try:
        figures = measure(check_data(arguments.data), arguments.epochs, arguments.seeds)
    except BenchmarkError as error:
        sys.exit(str(error))
    write_report(figures, OUT / "training")
    print((OUT / "training.md").read_text())


if __name__ == "__main__":
    main()

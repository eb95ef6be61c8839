"""Train on SageMaker, show the log as it grows, and say how it ended.

    python -m ops.train --outputs build/dev/outputs.json --source build/packages/source.tar.gz -- --epochs 40

What comes after the two dashes goes to train.py as it is. What the job runs on comes from the environment, as the
Makefile hands it on: INSTANCES, INSTANCE_TYPE, SPOT, ISOLATED, WEIGHTS, and RESUME=<run id> instead of all.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import boto3

from ops.outputs import ToolError, goes_on, read_outputs, remedy, run

MOST_INSTANCES = 20
# Arguments of train.py that the service sets. Without its test split a model would be deployed untested.
PLACES = {"data", "train", "valid", "test", "model-dir", "output-dir", "checkpoint-dir", "run-id"}


def hyperparameters(arguments: list[str]) -> dict[str, str]:
    """["--epochs", "40"] -> {"epochs": "40"}. Raises ToolError."""
    names, values = arguments[::2], arguments[1::2]
    if len(names) != len(values) or not all(name.startswith("--") for name in names):
        raise ToolError(f"Arguments for train.py come as --name value pairs, not as {' '.join(arguments)!r}.")
    chosen = {name[2:]: value for name, value in zip(names, values, strict=True)}
    if places := sorted(chosen.keys() & PLACES):
        raise ToolError(f"Where things lie is not for ARGS to say: leave --{places[0]} out, and choose by DATASET.")
    shortcuts = {name.lower(): os.environ[name] for name in ("EPOCHS", "BACKBONE") if os.environ.get(name)}
    return shortcuts | chosen


def whole_number(name: str, default: int, least: int, most: int) -> int:
    """A number that the environment gives, or the default. Raises ToolError."""
    text = os.environ.get(name, "")
    if text and not (text.isdecimal() and least <= int(text) <= most):
        raise ToolError(f"{name} is a whole number from {least} to {most}, not {text!r}.")
    return int(text) if text else default


def ask_whether_to_stop(what: str) -> bool:
    """Whether whoever pressed Ctrl-C wants it stopped; where nobody can answer, it goes on."""
    if not sys.stdin.isatty():
        return False
    try:
        return input(f"\n{what} goes on without being watched. Stop it? [y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        return False


def see_through(session: boto3.Session, run_id: str) -> dict[str, Any]:
    """Follow a job to its end. Returns DescribeTrainingJob's answer of one that completed. Raises ToolError."""
    from training.job_log import follow

    try:
        description = follow(session, run_id)
    except KeyboardInterrupt:
        if ask_whether_to_stop(f"Training job {run_id}"):
            session.client("sagemaker").stop_training_job(TrainingJobName=run_id)
            raise ToolError(f"Training job {run_id} is stopping; RESUME={run_id} goes on with it later.") from None
        raise goes_on(f"Training job {run_id}", f"sagemaker stop-training-job --training-job-name {run_id}") from None
    if description["TrainingJobStatus"] != "Completed":
        reason = description.get("FailureReason", description["SecondaryStatus"])
        raise ToolError(f"Training job {run_id} ended as {description['TrainingJobStatus']}: {reason}{remedy(reason)}")
    return description


def report(description: dict[str, Any]) -> None:
    """Say what a job that completed came to."""
    metrics = ", ".join(f"{item['MetricName']} {item['Value']:.4f}" for item in description["FinalMetricDataList"])
    print(f"Training job {description['TrainingJobName']} completed: {metrics}.")


def start(outputs: dict[str, Any], dataset: str, source: Path, chosen: dict[str, str]) -> str:
    """Start what the environment asks for; returns the run id."""
    instances = whole_number("INSTANCES", 1, 1, MOST_INSTANCES)
    from training import jobs  # here, since the SageMaker SDK takes seconds to import

    if earlier := os.environ.get("RESUME"):
        return jobs.resume(outputs, earlier)
    hardware = jobs.Hardware(
        os.environ.get("INSTANCE_TYPE") or outputs["training_instance_type"], instances, bool(os.environ.get("SPOT"))
    )
    weights = Path(name).expanduser() if (name := os.environ.get("WEIGHTS")) else None
    return jobs.launch(outputs, dataset, source, chosen, hardware, weights, bool(os.environ.get("ISOLATED")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--dataset", default="dogs")
    parser.add_argument("train_arguments", nargs="*")
    arguments = parser.parse_args()
    outputs, chosen = read_outputs(arguments.outputs), hyperparameters(arguments.train_arguments)
    run_id = start(outputs, arguments.dataset, arguments.source, chosen)
    print(f"Training job {run_id} started.", flush=True)
    report(see_through(boto3.Session(region_name=outputs["region"]), run_id))


if __name__ == "__main__":
    run(main)

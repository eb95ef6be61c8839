"""Train on SageMaker, show the log as it grows, and say how it ended.

    python -m ops.train --outputs build/dev/outputs.json --source build/packages/source.tar.gz -- --epochs 40

What comes after the two dashes goes to train.py as it is.
"""

import argparse
from pathlib import Path

import boto3

from ops.outputs import ToolError, read_outputs, run


def hyperparameters(arguments: list[str]) -> dict[str, str]:
    """["--epochs", "40"] -> {"epochs": "40"}. Raises ToolError."""
    names, values = arguments[::2], arguments[1::2]
    if len(names) != len(values) or not all(name.startswith("--") for name in names):
        raise ToolError(f"Arguments for train.py come as --name value pairs, not as {' '.join(arguments)!r}.")
    return {name[2:]: value for name, value in zip(names, values, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--dataset", default="dogs")
    parser.add_argument("train_arguments", nargs="*")
    arguments = parser.parse_args()
    outputs, chosen = read_outputs(arguments.outputs), hyperparameters(arguments.train_arguments)
    from training import jobs  # here, since the SageMaker SDK takes seconds to import

    run_id = jobs.launch(outputs, arguments.dataset, arguments.source, chosen)
    print(f"Training job {run_id} started.", flush=True)
    try:
        description = jobs.follow(boto3.Session(region_name=outputs["region"]), run_id)
    except KeyboardInterrupt:
        stop = f"aws sagemaker stop-training-job --training-job-name {run_id}"
        raise ToolError(f"Training job {run_id} goes on without being watched; to stop it: {stop}") from None
    if description["TrainingJobStatus"] != "Completed":
        reason = description.get("FailureReason", description["SecondaryStatus"])
        raise ToolError(f"Training job {run_id} ended as {description['TrainingJobStatus']}: {reason}")
    metrics = ", ".join(f"{item['MetricName']} {item['Value']:.4f}" for item in description["FinalMetricDataList"])
    print(f"Training job {run_id} completed: {metrics}.")


if __name__ == "__main__":
    run(main)

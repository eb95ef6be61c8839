"""Search hyperparameters on SageMaker, print the trials, and train once more with the best trial's, for `make deploy`.

    python -m ops.tune --outputs build/dev/outputs.json --source build/packages/source.tar.gz --jobs 10 -- --epochs 40

What comes after the two dashes goes to train.py as it is, and is not searched.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import boto3

from ops.outputs import ToolError, columns, goes_on, read_outputs, run
from ops.train import ask_whether_to_stop, hyperparameters, report, see_through

MOST_JOBS = 100
POLL_SECONDS = 2


def wait_for_the_end(session: boto3.Session, name: str) -> None:
    """Say how a search goes on until it ends. Raises ToolError unless it has a best trial."""
    sagemaker, said = session.client("sagemaker"), ""
    while True:
        search = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        counts = search["TrainingJobStatusCounters"]
        failed = counts["NonRetryableError"] + counts["RetryableError"]
        now = f"{counts['Completed']} completed, {counts['Stopped']} stopped, {failed} failed"
        if now != said:
            print(f"{name}: {now}, {counts['InProgress']} running", flush=True)
            said = now
        if search["HyperParameterTuningJobStatus"] in ("Completed", "Failed", "Stopped"):
            break
        time.sleep(POLL_SECONDS)
    if "BestTrainingJob" not in search:
        reason = search.get("FailureReason", "no trial came to a result.")
        raise ToolError(
            f"Search {name} ended as {search['HyperParameterTuningJobStatus']}, and nothing was trained: {reason}"
        )


def table(found: list[dict[str, Any]], losses: list[float | None]) -> str:
    """A line a trial, best first, and how they were compared."""
    names = sorted({name for trial in found for name in trial["chosen"]})
    rows = [["trial", "valid loss", "status", *names]]
    for trial, loss in zip(found, losses, strict=True):
        values = [f"{float(trial['chosen'][name]):.4g}" for name in names]
        shown = f"{loss:.4f}" if loss is not None else "-"
        rows.append([trial["TrainingJobName"], shown, trial["TrainingJobStatus"], *values])
    lines = [columns(rows)]
    lines.append("A completed trial's loss is of calibrated probabilities, below what its log shows by the epoch.")
    ends = [(trial["TrainingJobStatus"], loss) for trial, loss in zip(found, losses, strict=True)]
    if (equal := ends.count(ends[0])) > 1:
        lines.append(f"{equal} are equally good; the first is taken.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--dataset", default="dogs")
    parser.add_argument("--jobs", required=True)
    parser.add_argument("train_arguments", nargs="*")
    arguments = parser.parse_args()
    outputs, fixed = read_outputs(arguments.outputs), hyperparameters(arguments.train_arguments)
    if not (arguments.jobs.isdecimal() and 1 <= int(arguments.jobs) <= MOST_JOBS):
        raise ToolError(f"JOBS is the number of trials, 1 to {MOST_JOBS}, not {arguments.jobs!r}.")
    from training import jobs, search  # here, since the SageMaker SDK takes seconds to import

    session = boto3.Session(region_name=outputs["region"])
    name = search.launch_search(outputs, arguments.dataset, arguments.source, fixed, int(arguments.jobs))
    print(f"Search {name} started: {arguments.jobs} trials; each computes its features anew.", flush=True)
    try:
        wait_for_the_end(session, name)
    except KeyboardInterrupt:
        if ask_whether_to_stop(f"Search {name}"):
            session.client("sagemaker").stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
            raise ToolError(f"Search {name} is stopping.") from None
        stop = f"sagemaker stop-hyper-parameter-tuning-job --hyper-parameter-tuning-job-name {name}"
        raise goes_on(f"Search {name}", stop) from None
    found = search.trials(session, name)
    print(table([{**trial, "chosen": search.chosen_by(trial)} for trial in found], [*map(search.loss_of, found)]))
    run_id = jobs.launch(outputs, arguments.dataset, arguments.source, {**fixed, **search.chosen_by(found[0])})
    print(f"The best one's values, trained and tested as training job {run_id}:", flush=True)
    report(see_through(session, run_id))


if __name__ == "__main__":
    run(main)

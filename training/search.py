"""A search for hyperparameters: SageMaker's own tuner, which compares its trials by their loss on validation."""

import time
from pathlib import Path
from typing import Any

import boto3
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter
from sagemaker.core.shapes import OutputDataConfig
from sagemaker.train.tuner import HyperparameterTuner

from training.errors import TrainingError
from training.jobs import METRICS, channels, model_trainer

PARALLEL_JOBS = 2  # each pair learns from those before it; more at once would learn less
SEED = 1
# Arguments of train.py. Label smoothing is none of them: it changes the loss by which training stops early.
RANGES = {
    "learning-rate": ContinuousParameter(3e-5, 1e-3, scaling_type="Logarithmic"),
    "weight-decay": ContinuousParameter(1e-4, 1e-1, scaling_type="Logarithmic"),
    "batch-size": CategoricalParameter(["64", "128", "256", "512"]),
}
# The trials never see the test split; and no int8, whose calibration would take longer than the training.
TRIAL = {"test": "none", "calibration-images": "0"}


def launch_search(outputs: dict[str, Any], dataset: str, source: Path, fixed: dict[str, str], jobs: int) -> str:
    """Start a search of `jobs` trials over what `fixed`, arguments of train.py, leaves open. Returns its name.

    The trials write below runs/<its name>/, where no deployment looks: none of their models was tested. Raises
    TrainingError when there is no data, or nothing to search for.
    """
    ranges = {name: values for name, values in RANGES.items() if name not in fixed}
    if not ranges:
        names = ", ".join(f"--{name}" for name in RANGES)
        raise TrainingError(f"Nothing is left to search: leave one of {names} out of ARGS.")
    session = boto3.Session(region_name=outputs["region"])
    data = [channel for channel in channels(session, outputs, dataset) if channel.channel_name != "test"]
    name = f"search-{time.strftime('%y%m%d-%H%M%S', time.gmtime())}"
    trainer = model_trainer(session, outputs, source, {**fixed, **TRIAL})
    trainer.output_data_config = OutputDataConfig(
        s3_output_path=f"s3://{outputs['artifacts_bucket']}/runs/{name}", kms_key_id=outputs["key_arn"]
    )
    tuner = HyperparameterTuner(
        model_trainer=trainer,
        objective_metric_name="valid:loss",
        objective_type="Minimize",
        metric_definitions=[{"Name": metric, "Regex": regex} for metric, regex in METRICS.items()],
        hyperparameter_ranges=ranges,
        strategy="Bayesian",
        early_stopping_type="Auto",
        max_jobs=jobs,
        max_parallel_jobs=min(jobs, PARALLEL_JOBS),
        random_seed=SEED,
    )
    tuner.tune(inputs=data, job_name=name, wait=False)
    return name


def trials(session: boto3.Session, name: str) -> list[dict[str, Any]]:
    """The trials of a search, as SageMaker summarises them, best first; those without a result last.

    One that was stopped early comes behind all that were completed: its loss is an epoch's, and not calibrated.
    """
    sagemaker = session.client("sagemaker")
    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
    found = [
        summary for page in pages.paginate(HyperParameterTuningJobName=name) for summary in page["TrainingJobSummaries"]
    ]
    return sorted(found, key=rank)


def rank(trial: dict[str, Any]) -> tuple[bool, bool, float]:
    """A key to sort trials by."""
    loss = loss_of(trial)
    return loss is None, trial["TrainingJobStatus"] != "Completed", loss or 0


def loss_of(trial: dict[str, Any]) -> float | None:
    """A trial's loss on validation, calibrated; None while it has none."""
    metric = trial.get("FinalHyperParameterTuningJobObjectiveMetric")
    return float(metric["Value"]) if metric else None


def chosen_by(trial: dict[str, Any]) -> dict[str, str]:
    """What the search chose for a trial, as arguments of train.py."""
    return {name: value.strip('"') for name, value in trial["TunedHyperParameters"].items() if name in RANGES}

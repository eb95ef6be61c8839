"""The launcher: starts a SageMaker training job and prints its log as it grows. The only user of the SageMaker SDK."""

import hashlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before the SDK is imported, which reads them once. It would report each call to its makers; and the role that it
# would examine is Terraform's, proven by its own tests.
os.environ["SAGEMAKER_USER_CONFIG_OVERRIDE"] = str(Path(__file__).with_name("sagemaker_config.yaml"))
os.environ["SAGEMAKER_VALIDATE_ROLE"] = "false"

import boto3
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.training.configs import (
    Compute,
    InputData,
    MetricDefinition,
    Networking,
    OutputDataConfig,
    StoppingCondition,
)
from sagemaker.train import ModelTrainer

from training.data import SPLITS
from training.errors import TrainingError

PYTORCH_VERSION = "2.14"  # of AWS's training image
MAX_RUNTIME_SECONDS = 6 * 3600
VOLUME_GIB = 30
POLL_SECONDS = 1
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
# What train.py prints, as metrics of the job; the names are SageMaker's way of grouping.
METRICS = {
    "train:loss": r"train_loss=([0-9.]+)",
    "valid:loss": r"valid_loss=([0-9.]+)",
    "valid:top1": r"valid_top1=([0-9.]+)",
    "test:top1": r"test_top1=([0-9.]+)",
    "test:top5": r"test_top5=([0-9.]+)",
}


def launch(outputs: dict[str, Any], dataset: str, source: Path, hyperparameters: dict[str, str]) -> str:
    """Start the job and return its name, which is the run id. Raises TrainingError when there is no data.

    `outputs` are Terraform's; `hyperparameters` are arguments of train.py, without their dashes.
    """
    session = boto3.Session(region_name=outputs["region"])
    data = channels(session, outputs, dataset)
    trainer = model_trainer(session, outputs, source, hyperparameters)
    trainer.train(input_data_config=data, wait=False, logs=False)
    return str(trainer._latest_training_job.training_job_name)


def channels(session: boto3.Session, outputs: dict[str, Any], dataset: str) -> list[InputData]:
    """The splits of a data set as channels of a job. Raises TrainingError when one is not there."""
    s3, bucket, data = session.client("s3"), outputs["data_bucket"], f"datasets/{dataset}"
    for split in SPLITS:
        if not s3.list_objects_v2(Bucket=bucket, Prefix=f"{data}/{split}/", MaxKeys=1)["KeyCount"]:
            raise TrainingError(
                f"The data bucket holds no {data}/{split}/: run `make data DATA=<folder> DATASET={dataset}` first."
            )
    return [InputData(channel_name=split, data_source=f"s3://{bucket}/{data}/{split}/") for split in SPLITS]


def model_trainer(
    session: boto3.Session, outputs: dict[str, Any], source: Path, hyperparameters: dict[str, str]
) -> ModelTrainer:
    """What all jobs have in common: image, instances, source, where results go and which lines are metrics."""
    logging.getLogger("sagemaker").setLevel(logging.WARNING)
    instance_type = outputs["training_instance_type"]
    return ModelTrainer(
        sagemaker_session=Session(boto_session=session, default_bucket=outputs["artifacts_bucket"]),
        role=outputs["training_role_arn"],
        base_job_name="run",
        training_image=image_uris.retrieve(
            "pytorch-amzn2023",
            outputs["region"],
            version=PYTORCH_VERSION,
            instance_type=instance_type,
            image_scope="training",
        ),
        compute=Compute(instance_type=instance_type, instance_count=1, volume_size_in_gb=VOLUME_GIB),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=MAX_RUNTIME_SECONDS),
        # Told outright: SageMaker would take S3's own key of the account, not the bucket's.
        output_data_config=OutputDataConfig(
            s3_output_path=f"s3://{outputs['artifacts_bucket']}/runs", kms_key_id=outputs["key_arn"]
        ),
        networking=Networking(**network) if (network := outputs.get("training_network")) else None,
        hyperparameters={
            **hyperparameters,
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": _upload_source(session.client("s3"), outputs["artifacts_bucket"], source),
            "sagemaker_region": outputs["region"],
            "sagemaker_container_log_level": str(logging.WARNING),  # the log is the script's, not the toolkit's
        },
        environment={"PIP_QUIET": "1"},
    ).with_metric_definitions([MetricDefinition(name=name, regex=regex) for name, regex in METRICS.items()])


def follow(session: boto3.Session, run_id: str) -> dict[str, Any]:
    """Print the job's log as it grows. Returns DescribeTrainingJob's last answer."""
    sagemaker, log = session.client("sagemaker"), _Log(session.client("logs"), run_id)
    while True:
        description: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=run_id)
        for line in log.new_lines():
            if line.strip():  # the toolkit breaks lines into pieces, some of them empty
                print(line, flush=True)
        if description["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"):
            return description
        time.sleep(POLL_SECONDS)


class _Log:
    """The log streams of one job, read from where the last reading ended."""

    def __init__(self, logs: Any, run_id: str) -> None:
        self._logs, self._run_id = logs, run_id
        self._tokens: dict[str, str | None] = {}

    def new_lines(self) -> Iterator[str]:
        try:
            streams = self._logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{self._run_id}/")
        except self._logs.exceptions.ResourceNotFoundException:
            return  # the very first job of an account makes the group
        for stream in streams["logStreams"]:
            yield from self._read(stream["logStreamName"])

    def _read(self, stream: str) -> Iterator[str]:
        while True:
            token = self._tokens.get(stream)
            page = self._logs.get_log_events(
                logGroupName=LOG_GROUP,
                logStreamName=stream,
                startFromHead=True,
                **({"nextToken": token} if token else {}),
            )
            yield from (event["message"] for event in page["events"])
            self._tokens[stream] = page["nextForwardToken"]
            if page["nextForwardToken"] == token or not page["events"]:
                return


def _upload_source(s3: Any, bucket: str, source: Path) -> str:
    """Put the source under its own hash, so that a job's source can always be told, and never changes."""
    content = source.read_bytes()
    key = f"source/{hashlib.sha256(content).hexdigest()}.tar.gz"
    s3.put_object(Bucket=bucket, Key=key, Body=content)
    return f"s3://{bucket}/{key}"

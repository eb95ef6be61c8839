"""The launcher: starts SageMaker training jobs. The only user of the SageMaker SDK."""

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before the SDK is imported, which reads them once. It would report each call to its makers; and the role that it
# would examine is Terraform's, proven by its own tests.
os.environ["SAGEMAKER_USER_CONFIG_OVERRIDE"] = str(Path(__file__).with_name("sagemaker_config.yaml"))
os.environ["SAGEMAKER_VALIDATE_ROLE"] = "false"

import boto3
from safetensors import SafetensorError, safe_open
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
from training.inputs import check_uploaded, upload
from training.wheels import stage_wheels

PYTORCH_VERSION = "2.14"  # of AWS's training image
MAX_RUNTIME_SECONDS = 6 * 3600
MAX_SPOT_WAIT_SECONDS = 12 * 3600  # the running included
VOLUME_GIB = 30
CHANNELS = "/opt/ml/input/data"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
WHEELS = Path("build/wheels")
# How the toolkit is told to start the script by torchrun, on each instance of the job.
TORCHRUN = {
    "sagemaker_torch_distributed_enabled": "true",
    "sagemaker_distribution_instance_groups": '["homogeneousCluster"]',
}
# What train.py prints, as metrics of the job; the names are SageMaker's way of grouping. All four decimals are asked
# for, so that a line which the toolkit cut in two yields no other number.
METRICS = {
    name: rf"(?:^|\s){name.replace(':', '_')}=([0-9]+\.[0-9]{{4}})(?![0-9])"
    for name in ("train:loss", "valid:loss", "valid:top1", "test:top1", "test:top5")
}


@dataclass(frozen=True)
class Hardware:
    """What a job runs on. Spot capacity costs less, and may be taken away: the job then waits, and goes on."""

    instance_type: str
    instances: int = 1
    spot: bool = False


def launch(
    outputs: dict[str, Any],
    dataset: str,
    source: Path,
    hyperparameters: dict[str, str],
    hardware: Hardware | None = None,
    weights: Path | None = None,
    isolated: bool = False,
) -> str:
    """Start a job and return its name, which is the run id.

    `outputs` are Terraform's; `hyperparameters` are arguments of train.py, without their dashes; `weights` is a
    .safetensors file for the backbone; an `isolated` job has no network, so all that it needs travels with it.

    Raises TrainingError: the data, the weights or a wheel is not there, or SageMaker knows no such instance type.
    """
    session = boto3.Session(region_name=outputs["region"])
    s3, bucket = session.client("s3"), outputs["artifacts_bucket"]
    hardware = hardware or Hardware(outputs["training_instance_type"])
    check_instance_type(session, hardware.instance_type)
    data = channels(session, outputs, dataset)
    if weights:
        key = upload(s3, bucket, read_weights(weights), "safetensors")
        data.append(InputData(channel_name="weights", data_source=f"s3://{bucket}/{key}"))
    trainer = model_trainer(session, outputs, source, hyperparameters, hardware)
    # The SDK makes the name together with the request, and the checkpoints lie below the name.
    request: dict[str, Any] = trainer._create_training_job_args(input_data_config=data, boto3=True)
    run_id = str(request["TrainingJobName"])
    request["CheckpointConfig"] = {"S3Uri": f"s3://{bucket}/checkpoints/{run_id}/"}
    if hardware.spot:
        request["EnableManagedSpotTraining"] = True
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = MAX_SPOT_WAIT_SECONDS
    if isolated or outputs.get("training_network"):
        wheels = stage_wheels(s3, bucket, REQUIREMENTS, WHEELS)
        request = without_index({**request, "EnableNetworkIsolation": isolated}, wheels)
    session.client("sagemaker").create_training_job(**request)
    return run_id


def resume(outputs: dict[str, Any], run_id: str) -> str:
    """Start a job that goes on from the checkpoints of one that did not complete, and return its name.

    It is the earlier one's request under another name, so nothing can differ. Raises TrainingError.
    """
    sagemaker = boto3.Session(region_name=outputs["region"]).client("sagemaker")
    try:
        earlier = sagemaker.describe_training_job(TrainingJobName=run_id)
    except sagemaker.exceptions.ClientError as error:
        if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFound"):
            raise
        raise TrainingError(
            f"There is no training job {run_id!r}: RESUME takes the name of one that stopped."
        ) from None
    if (status := earlier["TrainingJobStatus"]) not in ("Failed", "Stopped"):
        raise TrainingError(f"Training job {run_id} is {status}: only one that stopped or failed can go on.")
    known = sagemaker.meta.service_model.operation_model("CreateTrainingJob").input_shape.members
    request = {name: value for name, value in earlier.items() if name in known and value}
    request["TrainingJobName"] = f"run-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}"
    sagemaker.create_training_job(**request)
    return str(request["TrainingJobName"])


def check_instance_type(session: boto3.Session, name: str) -> None:
    """Raises TrainingError for an instance type that SageMaker does not train on."""
    known = session.client("sagemaker").meta.service_model.shape_for("TrainingInstanceType").enum
    if name not in known:
        raise TrainingError(f"SageMaker trains on no instance type {name!r}: take one such as ml.m5.xlarge.")


def read_weights(path: Path) -> bytes:
    """The content of a .safetensors file. Raises TrainingError."""
    try:
        with safe_open(path, framework="np"):
            return path.read_bytes()
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"The weights {path} cannot be read as safetensors ({error}).") from None


def without_index(request: dict[str, Any], wheels: str) -> dict[str, Any]:
    """The request of a job that gets its source and its packages as channels, and asks no index for any."""
    code = request["HyperParameters"]["sagemaker_submit_directory"]
    added = [
        {
            "ChannelName": name,
            "InputMode": "File",
            "DataSource": {
                "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
            },
        }
        for name, uri in (("code", code), ("wheels", wheels))
    ]
    place = f"{CHANNELS}/code/{code.rpartition('/')[2]}"
    return {
        **request,
        "InputDataConfig": [*request["InputDataConfig"], *added],
        "HyperParameters": {**request["HyperParameters"], "sagemaker_submit_directory": place},
        "Environment": {**request["Environment"], "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"{CHANNELS}/wheels"},
    }


def channels(session: boto3.Session, outputs: dict[str, Any], dataset: str) -> list[InputData]:
    """The splits of a data set as channels of a job. Raises TrainingError when one is not there."""
    bucket = outputs["data_bucket"]
    data = check_uploaded(session.client("s3"), bucket, dataset)
    return [InputData(channel_name=split, data_source=f"s3://{bucket}/{data}/{split}/") for split in SPLITS]


def model_trainer(
    session: boto3.Session,
    outputs: dict[str, Any],
    source: Path,
    hyperparameters: dict[str, str],
    hardware: Hardware | None = None,
) -> ModelTrainer:
    """What all jobs have in common: image, instances, source, where results go and which lines are metrics."""
    logging.getLogger("sagemaker").setLevel(logging.WARNING)
    hardware = hardware or Hardware(outputs["training_instance_type"])
    artifacts = outputs["artifacts_bucket"]
    code = upload(session.client("s3"), artifacts, source.read_bytes(), "tar.gz")
    return ModelTrainer(
        sagemaker_session=Session(boto_session=session, default_bucket=artifacts),
        role=outputs["training_role_arn"],
        base_job_name="run",
        training_image=image_uris.retrieve(
            "pytorch-amzn2023",
            outputs["region"],
            version=PYTORCH_VERSION,
            instance_type=hardware.instance_type,
            image_scope="training",
        ),
        compute=Compute(
            instance_type=hardware.instance_type, instance_count=hardware.instances, volume_size_in_gb=VOLUME_GIB
        ),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=MAX_RUNTIME_SECONDS),
        # Told outright: SageMaker would take S3's own key of the account, not the bucket's.
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{artifacts}/runs", kms_key_id=outputs["key_arn"]),
        networking=Networking(**network) if (network := outputs.get("training_network")) else None,
        hyperparameters={
            **hyperparameters,
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": f"s3://{artifacts}/{code}",
            "sagemaker_region": outputs["region"],
            "sagemaker_container_log_level": str(logging.WARNING),  # the log is the script's, not the toolkit's
            **(TORCHRUN if hardware.instances > 1 else {}),
        },
        environment={"PIP_QUIET": "1"},
    ).with_metric_definitions([MetricDefinition(name=name, regex=regex) for name, regex in METRICS.items()])

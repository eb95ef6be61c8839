"""CreateTrainingJob that really trains: the SageMaker training toolkit runs the script in a folder like /opt/ml."""

import json
import re
import shutil
import threading
import time
from datetime import UTC, datetime
from typing import Any

from moto.sagemaker.models import sagemaker_backends
from werkzeug.wrappers import Response

from local_aws.calls.requests import put_metric_data
from local_aws.cloud import (
    Cloud,
    Forward,
    LogStream,
    ServiceError,
    download_prefix,
    list_objects,
    pack,
    require_name,
    split_s3_uri,
)
from local_aws.environment import ACCOUNT_ID, REGION
from local_aws.processes import Child, base_environment

# AWS's own training containers; they run the toolkits that stand in the environment of this stand-in.
_TRAINING_IMAGE = re.compile(r"763104351884\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/pytorch(-training)?:")
_LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_STOP_GRACE_SECONDS = 120  # what SageMaker gives a job between SIGTERM and SIGKILL
_CHECKPOINT_SECONDS = 5
_MAX_RUNTIME_SECONDS = 86_400  # SageMaker's default
_FAILURE_CHARACTERS = 1024


class TrainingJobs:
    """The training jobs of this stand-in, by name."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._running: dict[str, _Job] = {}

    def create(self, request: dict[str, Any], forward: Forward) -> Response:
        name = request["TrainingJobName"]
        for kind, value in [("trainingJobName", name), *(("channelName", n) for n in _channel_names(request))]:
            require_name(kind, value)
        if name in _records():
            raise ServiceError(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, "
                f"but a training job with this name already exists ({name}).",
            )
        _refuse_unknown(request)
        environment = self._cloud.role_environment(request["RoleArn"])
        s3 = self._cloud.client("s3", environment)
        for channel in request.get("InputDataConfig", []):
            _require_objects(s3, channel, request["RoleArn"])
        response = forward()
        if response.status_code == 200:
            job = self._running[name] = _Job(self._cloud, request, environment)
            job.start()
        return response

    def stop(self, request: dict[str, Any]) -> Response:
        name = request["TrainingJobName"]
        record = _records().get(name)
        if record is None:
            raise ServiceError("ResourceNotFound", "Requested resource not found.")
        if record.training_job_status != "InProgress":
            raise ServiceError(
                "ValidationException",
                f"The request was rejected because the training job is in status {record.training_job_status}.",
            )
        self._running[name].stop()
        return Response("{}", mimetype="application/x-amz-json-1.1")

    def close(self) -> None:
        for job in list(self._running.values()):
            job.kill()


class _Job(threading.Thread):
    """One training job from its first status to its last."""

    def __init__(self, cloud: Cloud, request: dict[str, Any], environment: dict[str, str]) -> None:
        super().__init__(name=request["TrainingJobName"], daemon=True)
        self._cloud, self._request, self._environment = cloud, request, environment
        self._record = _records()[self.name]
        self._s3 = cloud.client("s3", environment)
        self._folder = cloud.home / "training" / self.name / "algo-1"
        self._child: Child | None = None
        self._stop_asked = threading.Event()
        self._overran = False
        self._metrics = [
            (definition["Name"], re.compile(definition["Regex"]))
            for definition in request["AlgorithmSpecification"].get("MetricDefinitions", [])
        ]
        self._record.algorithm_specification = request["AlgorithmSpecification"]
        self._record.environment = request.get("Environment")
        self._record.model_artifacts = self._record.training_end_time = self._record.training_start_time = None
        self._record.final_metric_data_list = []
        self._record.secondary_status_transitions = []
        self._move("InProgress", "Starting", "Preparing the instances for training")

    def stop(self) -> None:
        self._stop_asked.set()
        self._move("Stopping", "Stopping", "Stopping the training job")

    def kill(self) -> None:
        if self._child:
            self._child.stop(grace_seconds=1)

    def run(self) -> None:
        log: LogStream | None = None
        try:
            self._move("InProgress", "Downloading", "Downloading input data")
            self._lay_out()
            if self._stop_asked.is_set():
                return self._move("Stopped", "Stopped", "Training job stopped")
            self._record.training_start_time = datetime.now(UTC)
            self._move("InProgress", "Training", "Training image download completed. Training in progress.")
            logs = self._cloud.client("logs", self._environment)
            log = LogStream(logs, _LOG_GROUP, f"{self.name}/algo-1-{int(time.time())}")
            status = self._train(log)
            log.close()  # whoever sees the last status finds the whole log
            self._finish(status)
        except Exception as error:
            # A job's thread is nobody's child: what stops it is the job's failure, told to whoever describes it.
            self._fail(f"InternalServerError: {error}")
        finally:
            if log:
                log.close()
            shutil.rmtree(self._folder.parent, ignore_errors=True)
        return None

    def _lay_out(self) -> None:
        """Fill the folder as SageMaker fills /opt/ml: configuration, channels, checkpoints."""
        request, root = self._request, self._folder
        for name in ("input/config", "input/data", "model", "output/data", "checkpoints", "code", "tmp"):
            (root / name).mkdir(parents=True)
        channels = request.get("InputDataConfig", [])
        for channel in channels:
            uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
            download_prefix(self._s3, uri, root / "input" / "data" / channel["ChannelName"], self._note_read)
        if checkpoints := request.get("CheckpointConfig"):
            uri = f"{checkpoints['S3Uri'].rstrip('/')}/"
            download_prefix(self._s3, uri, root / "checkpoints", self._note_read)
        instance_type = request["ResourceConfig"]["InstanceType"]
        configuration = {
            "hyperparameters": request.get("HyperParameters", {}),
            "inputdataconfig": {
                channel["ChannelName"]: {
                    "TrainingInputMode": "File",
                    "S3DistributionType": "FullyReplicated",
                    "RecordWrapperType": "None",
                }
                for channel in channels
            },
            "resourceconfig": {
                "current_host": "algo-1",
                "current_instance_type": instance_type,
                "current_group_name": "homogeneousCluster",
                "hosts": ["algo-1"],
                "instance_groups": [
                    {
                        "instance_group_name": "homogeneousCluster",
                        "instance_type": instance_type,
                        "hosts": ["algo-1"],
                    }
                ],
                "network_interface_name": "lo",
            },
        }
        for name, content in configuration.items():
            (root / "input" / "config" / f"{name}.json").write_text(json.dumps(content))

    def _train(self, log: LogStream) -> int:
        """Run the toolkit until it ends, is asked to stop or runs out of time. Returns its exit status."""

        def on_line(line: str) -> None:
            line = line.rsplit("\r", 1)[-1]  # of a progress bar that redraws itself, what it showed last
            log.write(line)
            self._read_metrics(line)

        environment = {
            **base_environment(self._folder / "tmp"),
            **self._environment,
            **(self._request.get("Environment") or {}),
            "TRAINING_JOB_NAME": self.name,
            "SAGEMAKER_BASE_DIR": str(self._folder),
            "SAGEMAKER_TRAINING_MODULE": "sagemaker_pytorch_container.training:main",
            "SM_STUDIO_LOCAL_MODE": "true",  # the toolkit's own switch for a host without SageMaker's network
        }
        # "train" is what SageMaker starts in a container; here it is the toolkit's program beside this Python.
        self._child = Child(["train"], environment, on_line, self._folder)
        limits = self._request.get("StoppingCondition", {})
        deadline = time.monotonic() + limits.get("MaxRuntimeInSeconds", _MAX_RUNTIME_SECONDS)
        uploaded = self._checkpoint_files()
        while (status := self._child.wait(min(_CHECKPOINT_SECONDS, max(0, deadline - time.monotonic())))) is None:
            uploaded = self._upload_checkpoints(uploaded)
            self._overran = time.monotonic() >= deadline
            if self._stop_asked.is_set() or self._overran:
                self._child.stop(_STOP_GRACE_SECONDS)
                status = self._child.exit_status
                break
        self._upload_checkpoints(uploaded)
        return status if status is not None else 1

    def _finish(self, status: int) -> None:
        was_stopped = self._stop_asked.is_set() or self._overran
        self._move("Stopping" if was_stopped else "InProgress", "Uploading", "Uploading generated training model")
        self._upload("model", "model.tar.gz", always=status == 0)
        self._upload("output/data", "output.tar.gz", always=False)
        if was_stopped:
            self._move("Stopped", "MaxRuntimeExceeded" if self._overran else "Stopped", "Training job stopped")
        elif status == 0:
            self._move("Completed", "Completed", "Training job completed")
        else:
            failure = self._folder / "output" / "failure"
            reason = failure.read_text() if failure.exists() else "The container wrote no reason"
            self._fail(f"AlgorithmError: {reason[: _FAILURE_CHARACTERS - 40]}, exit code: {status}")

    def _upload(self, folder: str, archive: str, always: bool) -> None:
        source = self._folder / folder
        if not always and not any(source.iterdir()):
            return
        packed = self._folder / "tmp" / archive
        pack(source, packed)
        uri = f"{self._request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}/output/{archive}"
        bucket, key = split_s3_uri(uri)
        self._s3.upload_file(str(packed), bucket, key)
        if folder == "model":
            self._record.model_artifacts = {"S3ModelArtifacts": uri}

    def _upload_checkpoints(self, uploaded: dict[str, float]) -> dict[str, float]:
        """Make the S3 prefix equal to the folder, as SageMaker does: also what was deleted here goes there."""
        found = self._checkpoint_files()
        if "CheckpointConfig" not in self._request:
            return found
        bucket, prefix = split_s3_uri(self._request["CheckpointConfig"]["S3Uri"].rstrip("/") + "/")
        for name in found:
            if uploaded.get(name) != found[name]:
                self._s3.upload_file(str(self._folder / "checkpoints" / name), bucket, prefix + name)
        for name in uploaded.keys() - found.keys():
            self._s3.delete_object(Bucket=bucket, Key=prefix + name)
        return found

    def _checkpoint_files(self) -> dict[str, float]:
        """Time of the last change by the path within the folder."""
        folder = self._folder / "checkpoints"
        return {str(path.relative_to(folder)): path.stat().st_mtime for path in folder.rglob("*") if path.is_file()}

    def _note_read(self, bucket: str, key: str) -> None:
        self._cloud.calls.note_object(self._request["RoleArn"], "GetObject", bucket, key)

    def _read_metrics(self, line: str) -> None:
        for name, pattern in self._metrics:
            if (match := pattern.search(line)) and (value := _number(match[1])) is not None:
                others = [item for item in self._record.final_metric_data_list if item["MetricName"] != name]
                latest = {"MetricName": name, "Value": value, "Timestamp": datetime.now(UTC)}
                self._record.final_metric_data_list = [*others, latest]
                self._cloud.calls.note(self._request["RoleArn"], [put_metric_data("/aws/sagemaker/TrainingJobs")])

    def _fail(self, reason: str) -> None:
        self._record.failure_reason = reason
        self._move("Failed", "Failed", "Training job failed")

    def _move(self, status: str, secondary: str, message: str) -> None:
        if status == "InProgress" and self._stop_asked.is_set():
            status = "Stopping"  # there is no way back from it
        now = datetime.now(UTC)
        transitions = self._record.secondary_status_transitions
        if transitions:
            transitions[-1]["EndTime"] = now
        transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
        self._record.last_modified_time = now
        if status in ("Completed", "Failed", "Stopped"):
            self._record.training_end_time = now
        self._record.training_job_status, self._record.secondary_status = status, secondary


def _records() -> dict[str, Any]:
    """moto's own records of the training jobs, by name: what DescribeTrainingJob answers from."""
    return sagemaker_backends[ACCOUNT_ID][REGION].training_jobs


def _channel_names(request: dict[str, Any]) -> list[str]:
    return [channel["ChannelName"] for channel in request.get("InputDataConfig", [])]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None  # a line that only looks like a metric


def _refuse_unknown(request: dict[str, Any]) -> None:
    """Say at once what this stand-in cannot run, instead of running something else."""
    algorithm = request["AlgorithmSpecification"]
    image = algorithm.get("TrainingImage", "")
    if not _TRAINING_IMAGE.match(image):
        raise ServiceError(
            "ValidationException",
            f"The stand-in runs AWS's PyTorch training images by their toolkits; it cannot run {image or 'no image'}.",
        )
    if algorithm.get("ContainerEntrypoint"):
        raise ServiceError(
            "ValidationException",
            "The stand-in starts a training image by its own entry point (script mode); "
            "leave ContainerEntrypoint out and name the script in sagemaker_program.",
        )
    for definition in algorithm.get("MetricDefinitions", []):
        try:
            groups = re.compile(definition["Regex"]).groups
        except re.error:
            groups = 0
        if not groups:
            raise ServiceError(
                "ValidationException", f"The regular expression of metric {definition['Name']} needs a group: (…)."
            )
    if (count := request["ResourceConfig"].get("InstanceCount", 1)) != 1:
        raise ServiceError("ValidationException", f"The stand-in trains on one instance; {count} were asked for.")


def _require_objects(s3: Any, channel: dict[str, Any], role_arn: str) -> None:
    uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
    try:
        is_empty = next(list_objects(s3, uri), None) is None
    except s3.exceptions.NoSuchBucket:
        is_empty = True
    if is_empty:
        raise ServiceError(
            "ValidationException",
            f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket '
            f"exists in the selected region ({REGION}), that objects exist under that S3 prefix, and that the role "
            f'"{role_arn}" has "s3:ListBucket" permissions on bucket "{split_s3_uri(uri)[0]}".',
        )

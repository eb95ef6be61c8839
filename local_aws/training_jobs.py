"""CreateTrainingJob that really trains: the SageMaker training toolkit runs the script in a folder like /opt/ml."""

import contextlib
import re
import shutil
import signal
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
    ServiceError,
    list_objects,
    pack,
    require_name,
    split_s3_uri,
)
from local_aws.environment import ACCOUNT_ID, REGION
from local_aws.training_hosts import LOG_GROUP, Host

# AWS's own training containers; they run the toolkits that stand in the environment of this stand-in.
_TRAINING_IMAGE = re.compile(r"763104351884\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/pytorch(-training)?:")
_STOP_GRACE_SECONDS = 120  # what SageMaker gives a job between SIGTERM and SIGKILL
_FAILURE_GRACE_SECONDS = 30  # for the other hosts of one that failed, to say what they have to say
_CHECKPOINT_SECONDS = 5
_POLL_SECONDS = 0.1
_MOST_INSTANCES = 4
_MAX_RUNTIME_SECONDS = 86_400  # SageMaker's default
_FAILURE_CHARACTERS = 1024


class TrainingJobs:
    """The training jobs of this stand-in, by name."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._running: dict[str, _Job] = {}
        self._rendezvous = threading.Lock()

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
            job = self._running[name] = _Job(self._cloud, request, environment, self._rendezvous)
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

    def __init__(
        self, cloud: Cloud, request: dict[str, Any], environment: dict[str, str], rendezvous: threading.Lock
    ) -> None:
        super().__init__(name=request["TrainingJobName"], daemon=True)
        self._cloud, self._request, self._rendezvous = cloud, request, rendezvous
        self._record = _records()[self.name]
        self._s3 = cloud.client("s3", environment)
        self._hosts = [Host(cloud, request, environment, number) for number in range(1, 1 + _instance_count(request))]
        self._folder = self._hosts[0].folder
        self._stop_asked = threading.Event()
        limit = request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", _MAX_RUNTIME_SECONDS)
        self._seconds_left = float(limit)
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
        for host in self._hosts:
            host.stop(grace_seconds=1)

    def run(self) -> None:
        try:
            # The toolkit's hosts find each other at a fixed port, which here can be one job's only.
            with self._rendezvous if len(self._hosts) > 1 else contextlib.nullcontext():
                while not self._attempt():
                    self._move("InProgress", "Interrupted", "The spot capacity was taken away")
                    self._clear()
                    self._move("InProgress", "Starting", "Preparing the instances for training")
        except Exception as error:
            # A job's thread is nobody's child: what stops it is the job's failure, told to whoever describes it.
            self._fail(f"InternalServerError: {error}")
        finally:
            self._clear()

    def _attempt(self) -> bool:
        """Run from the last checkpoints on. False when the instances of a spot job were taken away."""
        self._move("InProgress", "Downloading", "Downloading input data")
        for host in self._hosts:
            host.lay_out(self._note_read)
        if self._stop_asked.is_set():
            self._move("Stopped", "Stopped", "Training job stopped")
            return True
        self._record.training_start_time = self._record.training_start_time or datetime.now(UTC)
        self._move("InProgress", "Training", "Training image download completed. Training in progress.")
        for host in self._hosts:
            host.start(self._read_metrics)
        failed = self._wait()
        for host in self._hosts:
            host.close_log()
        if self._was_taken_away(failed):
            return False
        self._finish(failed)
        return True

    def _wait(self) -> Host | None:
        """Wait until all hosts end, or are ended: by a stop, by the time, by the first that fails. Returns that one."""
        start = synced = time.monotonic()
        failed: Host | None = None
        while any(host.exit_status() is None for host in self._hosts):
            failed = failed or next((host for host in self._hosts if host.exit_status()), None)
            now = time.monotonic()
            self._overran = now - start >= self._seconds_left
            if self._stop_asked.is_set() or self._overran:
                self._end_all(_STOP_GRACE_SECONDS)
            elif failed:
                self._end_all(_FAILURE_GRACE_SECONDS)
            elif now - synced >= _CHECKPOINT_SECONDS:
                self._upload_checkpoints()
                synced = now
            time.sleep(_POLL_SECONDS)
        self._seconds_left -= time.monotonic() - start
        failed = failed or next((host for host in self._hosts if host.exit_status()), None)
        if not self._was_taken_away(failed):  # nobody saves what is on an instance that is gone
            self._upload_checkpoints()
        return failed

    def _was_taken_away(self, failed: Host | None) -> bool:
        """Whether something killed an instance of a spot job: here, whoever kills its `train`."""
        if failed is None or self._stop_asked.is_set() or self._overran:
            return False
        return bool(self._request.get("EnableManagedSpotTraining")) and failed.exit_status() == -signal.SIGKILL

    def _end_all(self, grace_seconds: float) -> None:
        ends = [threading.Thread(target=host.stop, args=(grace_seconds,)) for host in self._hosts]
        for end in ends:
            end.start()
        for end in ends:
            end.join()

    def _upload_checkpoints(self) -> None:
        for host in self._hosts:
            host.upload_checkpoints()

    def _clear(self) -> None:
        self.kill()
        for host in self._hosts:
            host.close_log()
        shutil.rmtree(self._folder.parent, ignore_errors=True)

    def _finish(self, failed: Host | None) -> None:
        was_stopped = self._stop_asked.is_set() or self._overran
        self._move("Stopping" if was_stopped else "InProgress", "Uploading", "Uploading generated training model")
        self._upload("model", "model.tar.gz", always=failed is None)
        self._upload("output/data", "output.tar.gz", always=False)
        if was_stopped:
            self._move("Stopped", "MaxRuntimeExceeded" if self._overran else "Stopped", "Training job stopped")
        elif failed is None:
            self._move("Completed", "Completed", "Training job completed")
        else:
            status = failed.exit_status() or 0
            told = status if status > 0 else 128 - status  # as a container's status tells of a signal
            self._fail(f"AlgorithmError: {failed.failure()[: _FAILURE_CHARACTERS - 40]}, exit code: {told}")

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

    def _note_read(self, bucket: str, key: str) -> None:
        self._cloud.calls.note_object(self._request["RoleArn"], "GetObject", bucket, key)

    def _read_metrics(self, line: str) -> None:
        for name, pattern in self._metrics:
            if (match := pattern.search(line)) and (value := _number(match[1])) is not None:
                others = [item for item in self._record.final_metric_data_list if item["MetricName"] != name]
                latest = {"MetricName": name, "Value": value, "Timestamp": datetime.now(UTC)}
                self._record.final_metric_data_list = [*others, latest]
                self._cloud.calls.note(self._request["RoleArn"], [put_metric_data(LOG_GROUP)])

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


def _instance_count(request: dict[str, Any]) -> int:
    return int(request["ResourceConfig"].get("InstanceCount", 1))


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
    if not 1 <= (count := _instance_count(request)) <= _MOST_INSTANCES:
        raise ServiceError(
            "ValidationException",
            f"The stand-in trains on {_MOST_INSTANCES} instances at most; {count} were asked for.",
        )


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

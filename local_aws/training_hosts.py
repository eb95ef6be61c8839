"""The instances of a training job: for each a folder like /opt/ml, and in it the SageMaker training toolkit."""

import contextlib
import json
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local_aws.cloud import Cloud, LogStream, download_prefix, split_s3_uri
from local_aws.processes import Child, base_environment

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_ROOT = "/opt/ml/"  # where a container has what stands in a host's folder here
_PROGRAMS = Path(__file__).with_name("programs")
# What a job without a network has no use for, and must not have.
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class Host:
    """One instance. Hosts of one job are told apart by addresses of the loopback interface."""

    def __init__(self, cloud: Cloud, request: dict[str, Any], environment: dict[str, str], number: int) -> None:
        self.number, self.name = number, f"algo-{number}"
        self._cloud, self._request, self._environment = cloud, request, environment
        self._job = request["TrainingJobName"]
        self._count = request["ResourceConfig"].get("InstanceCount", 1)
        self._s3 = cloud.client("s3", environment)
        self.folder = cloud.home / "training" / self._job / self.name
        self._child: Child | None = None
        self._log: LogStream | None = None
        self._uploaded: dict[str, float] = {}

    def lay_out(self, note_read: Callable[[str, str], None]) -> None:
        """Fill the folder as SageMaker fills /opt/ml: configuration, channels, checkpoints."""
        for name in ("input/config", "input/data", "model", "output/data", "checkpoints", "code", "tmp"):
            (self.folder / name).mkdir(parents=True)
        channels = self._request.get("InputDataConfig", [])
        for channel in channels:
            uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
            download_prefix(self._s3, uri, self.folder / "input" / "data" / channel["ChannelName"], note_read)
        if checkpoints := self._request.get("CheckpointConfig"):
            download_prefix(self._s3, f"{checkpoints['S3Uri'].rstrip('/')}/", self.folder / "checkpoints", note_read)
        self._uploaded = self._checkpoint_files()
        for name, content in self._configuration([channel["ChannelName"] for channel in channels]).items():
            (self.folder / "input" / "config" / f"{name}.json").write_text(json.dumps(content))

    def _configuration(self, channels: list[str]) -> Mapping[str, Any]:
        instance_type = self._request["ResourceConfig"]["InstanceType"]
        addresses = [f"127.0.0.{number}" for number in range(1, self._count + 1)] if self._count > 1 else [self.name]
        group = {"instance_group_name": "homogeneousCluster", "instance_type": instance_type, "hosts": addresses}
        return {
            "hyperparameters": self._here(self._request.get("HyperParameters", {})),
            "inputdataconfig": {
                channel: {
                    "TrainingInputMode": "File",
                    "S3DistributionType": "FullyReplicated",
                    "RecordWrapperType": "None",
                }
                for channel in channels
            },
            "resourceconfig": {
                "current_host": addresses[self.number - 1],
                "current_instance_type": instance_type,
                "current_group_name": group["instance_group_name"],
                "hosts": addresses,
                "instance_groups": [group],
                "network_interface_name": "lo",
            },
        }

    def start(self, on_line: Callable[[str], None]) -> None:
        """Start the toolkit; each line of its output goes to the host's log stream and to `on_line`."""
        logs = self._cloud.client("logs", self._environment)
        log = self._log = LogStream(logs, LOG_GROUP, f"{self._job}/{self.name}-{int(time.time())}")

        def read(line: str) -> None:
            line = line.rsplit("\r", 1)[-1]  # of a progress bar that redraws itself, what it showed last
            log.write(line)
            on_line(line)

        variables = {
            **base_environment(self.folder / "tmp"),
            **self._environment,
            **self._here(self._request.get("Environment") or {}),
            "TRAINING_JOB_NAME": self._job,
            "SAGEMAKER_BASE_DIR": str(self.folder),
            "SAGEMAKER_TRAINING_MODULE": "sagemaker_pytorch_container.training:main",
            "SM_STUDIO_LOCAL_MODE": "true",  # the toolkit's own switch for a host without SageMaker's network
            "GLOO_SOCKET_IFNAME": "lo",
        }
        variables["PATH"] = f"{_PROGRAMS}:{variables['PATH']}"
        if self._request.get("EnableNetworkIsolation"):
            variables = {name: value for name, value in variables.items() if name not in _CREDENTIALS}
        # "train" is what SageMaker starts in a container; here it is the toolkit's program beside this Python.
        self._child = Child(["train"], variables, read, self.folder)

    def _here(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The same, where a path of the container's means the one in this host's folder."""
        return {name: text.replace(_ROOT, f"{self.folder}/") for name, text in texts.items()}

    def exit_status(self) -> int | None:
        """None while it runs; negative where a signal ended it. All of its output is read by then."""
        return self._child.wait(0) if self._child else None

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM, then SIGKILL."""
        if self._child:
            self._child.stop(grace_seconds)

    def close_log(self) -> None:
        """Whoever sees the job's last status finds the whole log."""
        if self._log:
            self._log.close()

    def failure(self) -> str:
        """What the script, else the toolkit, said of its end; or that something killed it."""
        told = self.folder / "output" / "failure"
        reason = told.read_text() if told.exists() else "The container wrote no reason"
        if self.exit_status() == -signal.SIGKILL:
            reason = "The container was killed"
        return f"{self.name}: {reason}" if self._count > 1 else reason

    def upload_checkpoints(self) -> None:
        """Make the S3 prefix equal to the folder, as SageMaker does: also what was deleted here goes there."""
        found = self._checkpoint_files()
        if "CheckpointConfig" in self._request:
            bucket, prefix = split_s3_uri(self._request["CheckpointConfig"]["S3Uri"].rstrip("/") + "/")
            for name in found:
                if self._uploaded.get(name) != found[name]:
                    with contextlib.suppress(FileNotFoundError):  # renamed or deleted meanwhile: the next round's
                        self._s3.upload_file(str(self.folder / "checkpoints" / name), bucket, prefix + name)
            for name in self._uploaded.keys() - found.keys():
                self._s3.delete_object(Bucket=bucket, Key=prefix + name)
        self._uploaded = found

    def _checkpoint_files(self) -> dict[str, float]:
        """Time of the last change by the path within the folder."""
        folder, found = self.folder / "checkpoints", {}
        for path in folder.rglob("*"):
            try:
                if path.is_file():
                    found[str(path.relative_to(folder))] = path.stat().st_mtime
            except FileNotFoundError:
                continue  # a checkpoint that was just replaced
        return found

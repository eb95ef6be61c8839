"""Choose what the endpoint serves, or whether there is one: write SSM parameters and apply them.

    python -m ops.release --outputs build/dev/outputs.json [--run RUN] -- terraform apply …
    python -m ops.release --outputs build/dev/outputs.json --serving off -- terraform apply …

The release list is newest first: `<run_id>@<sha256 of model.json>`. Only this program writes it. When the release does
not get into service, all is put back as it was.
"""

import argparse
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from inference.artifact import RUN_ID_PATTERN, ArtifactError, manifest_sha256
from ops.outputs import ToolError, read_outputs, run

KEPT_RELEASES = 10
EMPTY = "none"
_IN_CHANGE = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_MODEL_KEY = re.compile(r"runs/([^/]+)/output/model\.tar\.gz")


def newest_run(s3: Any, bucket: str) -> str:
    """The run whose artifact was written last. Raises ToolError when there is none."""
    models = [
        (item["LastModified"], match[1])
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="runs/")
        for item in page.get("Contents", [])
        if (match := _MODEL_KEY.fullmatch(item["Key"]))
    ]
    if not models:
        raise ToolError("No trained model is there yet: run `make train-sagemaker` first.")
    return max(models)[1]


def digest_of(s3: Any, bucket: str, run_id: str) -> str:
    """SHA-256 of the artifact's model.json, once the whole artifact was checked. Raises ToolError."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "model.tar.gz"
        try:
            s3.download_file(bucket, f"runs/{run_id}/output/model.tar.gz", str(archive))
        except ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            raise ToolError(f"There is no model of a run {run_id!r}: `make deploy` takes the newest one.") from None
        try:
            return manifest_sha256(archive)
        except ArtifactError as error:
            raise ToolError(f"The model of run {run_id} cannot be deployed: {error}") from None


def with_release(releases: str, run_id: str, digest: str) -> str:
    """The release list with this run in front, at most ten long."""
    others = [entry for entry in releases.split(",") if entry != EMPTY and entry.split("@")[0] != run_id]
    return ",".join([f"{run_id}@{digest}", *others][:KEPT_RELEASES])


def with_count(counts: str, run_id: str, instances: int) -> str:
    """The instance counts with this run's among them; ten, as there are releases."""
    others = [entry for entry in counts.split(",") if entry != EMPTY and entry.split("=")[0] != run_id]
    return ",".join([f"{run_id}={instances}", *others][:KEPT_RELEASES])


def describe(sagemaker: Any, endpoint_name: str) -> dict[str, Any] | None:
    """DescribeEndpoint's answer; None where there is no endpoint."""
    try:
        return sagemaker.describe_endpoint(EndpointName=endpoint_name)  # type: ignore[no-any-return]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationException":
            raise
        return None


def live_count(sagemaker: Any, endpoint_name: str) -> int | None:
    """The instances that autoscaling wants now; None without an endpoint, or with one that never was in service.

    Raises ToolError while the endpoint is being changed, when no apply could change it either.
    """
    endpoint = describe(sagemaker, endpoint_name) or {}
    if (status := endpoint.get("EndpointStatus")) in _IN_CHANGE:
        raise ToolError(f"The endpoint {endpoint_name} is {status}: wait until it is done, and try again.")
    variants = endpoint.get("ProductionVariants") or [{}]
    return variants[0].get("DesiredInstanceCount")  # type: ignore[no-any-return]


def deploy(outputs: dict[str, Any], run_id: str | None, apply: list[str]) -> str:
    """Put a run in front of the release list, apply, and see that it is what now serves. Returns how it went.

    It starts with as many instances as serve now: a new configuration would otherwise begin with the least, under a
    load that needs more.

    Raises:
        ToolError: there is no such run, the apply failed, or SageMaker went back to what served before; the release
            list is then as it was.
    """
    s3, ssm, sagemaker = (boto3.client(name, region_name=outputs["region"]) for name in ("s3", "ssm", "sagemaker"))
    if run_id is not None and not RUN_ID_PATTERN.fullmatch(run_id):
        raise ToolError(f"{run_id!r} is no run id: small letters, digits and dashes, 40 at most.")
    run_id = run_id or newest_run(s3, outputs["artifacts_bucket"])
    digest = digest_of(s3, outputs["artifacts_bucket"], run_id)
    releases = _read(ssm, outputs["releases_parameter"])
    if dict(entry.split("@") for entry in releases.split(",") if "@" in entry).get(run_id, digest) != digest:
        raise ToolError(f"The model of run {run_id} is another than was deployed before: bring its first version back.")
    changes = {outputs["releases_parameter"]: with_release(releases, run_id, digest)}
    # A release that serves keeps its configuration: it may be the one that SageMaker goes back to.
    count = live_count(sagemaker, outputs["endpoint_name"])
    if run_id != _in_front(releases) and count:
        parameter = outputs["instance_counts_parameter"]
        changes[parameter] = with_count(_read(ssm, parameter), run_id, count)
    unasked: Exception | None = None
    with _written(ssm, changes):
        if run_to_its_end(apply) != 0:
            raise ToolError(f"Run {run_id} was not deployed: the apply failed, and the release list is as it was.")
        try:
            endpoint = describe(sagemaker, outputs["endpoint_name"])
            reason = endpoint and why_not_served(sagemaker, endpoint, digest)
        except (ClientError, BotoCoreError) as error:
            unasked = error  # no reason to take back what was applied
        else:
            if reason:
                raise ToolError(f"Run {run_id} was not deployed, and the release list is as it was: {reason}")
    if unasked:
        raise ToolError(f"Run {run_id} was applied; whether it serves could not be asked: {unasked}")
    if endpoint is None:
        return f"Run {run_id} is first on the list, and the endpoint is off: `make start` brings it into service."
    return f"Run {run_id} is in service at endpoint {outputs['endpoint_name']}."


def switch(outputs: dict[str, Any], serving: str, apply: list[str]) -> None:
    """Take the endpoint away ("off") or bring it back ("on"), with the instances that it had. Raises ToolError."""
    ssm, sagemaker = (boto3.client(name, region_name=outputs["region"]) for name in ("ssm", "sagemaker"))
    changes = {outputs["serving_parameter"]: serving}
    count = live_count(sagemaker, outputs["endpoint_name"])
    if serving == "off" and count:
        parameter = outputs["instance_counts_parameter"]
        changes[parameter] = with_count(
            _read(ssm, parameter), _in_front(_read(ssm, outputs["releases_parameter"])), count
        )
    with _written(ssm, changes):
        if run_to_its_end(apply) != 0:
            raise ToolError(f"The endpoint was not switched {serving}: the apply failed.")


def _in_front(releases: str) -> str:
    return releases.split(",")[0].split("@")[0]


def _read(ssm: Any, parameter: str) -> str:
    return str(ssm.get_parameter(Name=parameter)["Parameter"]["Value"])


@contextmanager
def _written(ssm: Any, changes: dict[str, str]) -> Iterator[None]:
    """Write parameters, and put them back as they were when what follows fails; not what somebody else wrote since."""
    before = {parameter: _read(ssm, parameter) for parameter in changes}
    try:
        for parameter, value in changes.items():
            ssm.put_parameter(Name=parameter, Value=value, Overwrite=True)
        yield
    except BaseException:
        for parameter, value in before.items():
            if _read(ssm, parameter) == changes[parameter]:
                ssm.put_parameter(Name=parameter, Value=value, Overwrite=True)
        raise


def run_to_its_end(command: list[str], **options: Any) -> int:
    """Run a command that must not be cut short: Ctrl-C reaches it too, and it saves its state before it ends.

    `options` are subprocess.Popen's.
    """
    process = subprocess.Popen(command, **options)
    was_interrupted = False
    while True:
        try:
            status = process.wait()
            break
        except KeyboardInterrupt:
            was_interrupted = True
    if was_interrupted:
        raise KeyboardInterrupt
    return status


def why_not_served(sagemaker: Any, endpoint: dict[str, Any], digest: str) -> str | None:
    """None when the endpoint serves the model of this digest, else what SageMaker says of it.

    Terraform cannot tell: an endpoint that went back by itself is in service too.
    """
    configuration = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=configuration["ProductionVariants"][0]["ModelName"])
    if model["PrimaryContainer"]["Environment"]["MODEL_MANIFEST_SHA256"] == digest:
        return None
    return str(endpoint.get("FailureReason", "the endpoint serves another release."))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--run", default=None)
    parser.add_argument("--serving", choices=["on", "off"])
    parser.add_argument("apply", nargs="+", help="the command that applies what was written")
    arguments = parser.parse_args()
    outputs = read_outputs(arguments.outputs)
    if arguments.serving:
        switch(outputs, arguments.serving, arguments.apply)
        print(f"The endpoint {outputs['endpoint_name']} is {arguments.serving}.")
    else:
        print(deploy(outputs, arguments.run or None, arguments.apply))


if __name__ == "__main__":
    run(main)

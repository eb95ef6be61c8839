"""Choose what the endpoint serves: write the release list and apply it.

    python -m ops.release --outputs build/dev/outputs.json [--run RUN] -- terraform apply …

The list is an SSM parameter, newest first: `<run_id>@<sha256 of model.json>`. Only this program writes it. When the
release does not get into service, the list is put back as it was.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from inference.artifact import RUN_ID_PATTERN, ArtifactError, manifest_sha256
from ops.outputs import ToolError, read_outputs, run

KEPT_RELEASES = 10
EMPTY = "none"
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


def deploy(outputs: dict[str, Any], run_id: str | None, apply: list[str]) -> str:
    """Put a run in front of the release list, apply, and see that it is what now serves. Returns the run id.

    Raises:
        ToolError: there is no such run, the apply failed, or SageMaker went back to what served before; the release
            list is then as it was.
    """
    s3 = boto3.client("s3", region_name=outputs["region"])
    ssm = boto3.client("ssm", region_name=outputs["region"])
    if run_id is not None and not RUN_ID_PATTERN.fullmatch(run_id):
        raise ToolError(f"{run_id!r} is no run id: small letters, digits and dashes, 40 at most.")
    bucket, parameter = outputs["artifacts_bucket"], outputs["releases_parameter"]
    run_id = run_id or newest_run(s3, bucket)
    digest = digest_of(s3, bucket, run_id)
    before = ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
    ssm.put_parameter(Name=parameter, Value=with_release(before, run_id, digest), Type="StringList", Overwrite=True)
    try:
        if run_to_its_end(apply) != 0:
            raise ToolError(f"Run {run_id} was not deployed: the apply failed, and the release list is as it was.")
        if reason := why_not_served(boto3.client("sagemaker", region_name=outputs["region"]), outputs, digest):
            raise ToolError(f"Run {run_id} was not deployed, and the release list is as it was: {reason}")
    except BaseException:
        ssm.put_parameter(Name=parameter, Value=before, Type="StringList", Overwrite=True)
        raise
    return run_id


def run_to_its_end(command: list[str]) -> int:
    """Run a command that must not be cut short: Ctrl-C reaches it too, and it saves its state before it ends."""
    process = subprocess.Popen(command)
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


def why_not_served(sagemaker: Any, outputs: dict[str, Any], digest: str) -> str | None:
    """None when the endpoint serves the model of this digest, else what SageMaker says of it.

    Terraform cannot tell: an endpoint that went back by itself is in service too.
    """
    endpoint = sagemaker.describe_endpoint(EndpointName=outputs["endpoint_name"])
    configuration = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=configuration["ProductionVariants"][0]["ModelName"])
    if model["PrimaryContainer"]["Environment"]["MODEL_MANIFEST_SHA256"] == digest:
        return None
    return str(endpoint.get("FailureReason", "the endpoint serves another release."))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--run", default=None)
    parser.add_argument("apply", nargs="+", help="the command that applies the list")
    arguments = parser.parse_args()
    outputs = read_outputs(arguments.outputs)
    run_id = deploy(outputs, arguments.run or None, arguments.apply)
    print(f"Run {run_id} is in service at endpoint {outputs['endpoint_name']}.")


if __name__ == "__main__":
    run(main)

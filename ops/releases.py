"""The release list, and what is known of each release on it.

    python -m ops.releases --outputs build/dev/outputs.json

The list is an SSM parameter, `<run_id>@<sha256 of model.json>` with commas between, the one in service first; only
ops/release.py writes it.
"""

import argparse
import tarfile
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from inference.artifact import MANIFEST_NAME, ArtifactError, parse_manifest, plain_members, read_limited
from ops.outputs import ToolError, columns, read_outputs, run

KEPT_RELEASES = 10
EMPTY = "none"


def entries(releases: str) -> dict[str, str]:
    """{run id: digest}, newest first."""
    return dict(entry.split("@") for entry in releases.split(",") if "@" in entry)


def with_release(releases: str, run_id: str, digest: str) -> str:
    """The release list with this run in front, at most ten long."""
    kept = {run_id: digest, **{other: its for other, its in entries(releases).items() if other != run_id}}
    return ",".join([f"{one}@{its}" for one, its in kept.items()][:KEPT_RELEASES])


def with_count(counts: str, run_id: str, instances: int) -> str:
    """The instance counts with this run's among them; ten, as there are releases."""
    others = [entry for entry in counts.split(",") if entry != EMPTY and entry.split("=")[0] != run_id]
    return ",".join([f"{run_id}={instances}", *others][:KEPT_RELEASES])


def read_parameter(ssm: Any, parameter: str) -> str:
    return str(ssm.get_parameter(Name=parameter)["Parameter"]["Value"])


def model_key(run_id: str) -> str:
    return f"runs/{run_id}/output/model.tar.gz"


def describe(sagemaker: Any, endpoint_name: str) -> dict[str, Any] | None:
    """DescribeEndpoint's answer; None where there is no endpoint."""
    try:
        return sagemaker.describe_endpoint(EndpointName=endpoint_name)  # type: ignore[no-any-return]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationException":
            raise
        return None


def in_service(sagemaker: Any, endpoint: dict[str, Any]) -> tuple[str, str]:
    """(run id, digest) of the release that an endpoint (as DescribeEndpoint has it) runs.

    Both empty where somebody deleted its configuration or its model: it serves on, and nobody can tell what.
    """
    try:
        configuration = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
        model = sagemaker.describe_model(ModelName=configuration["ProductionVariants"][0]["ModelName"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationException":
            raise
        return "", ""
    container = model["PrimaryContainer"]
    return container["ModelDataUrl"].split("/")[-3], container["Environment"]["MODEL_MANIFEST_SHA256"]


def table(outputs: dict[str, Any]) -> str:
    """The list for people. Raises ToolError when it is empty."""
    s3, ssm, sagemaker = (boto3.client(name, region_name=outputs["region"]) for name in ("s3", "ssm", "sagemaker"))
    releases = entries(read_parameter(ssm, outputs["releases_parameter"]))
    if not releases:
        raise ToolError("Nothing was deployed yet: run `make deploy`.")
    endpoint = describe(sagemaker, outputs["endpoint_name"])
    serving = in_service(sagemaker, endpoint) if endpoint else None
    since = _in_front_since(ssm, outputs["releases_parameter"])
    rows = [("RUN", "TRAINED ON", "TEST TOP-1", "VALID TOP-1", "CLASSES", "DEPLOYED", "")]
    for run_id, digest in releases.items():
        state = ""
        if endpoint and (run_id, digest) == serving:
            state = _state(endpoint)
        rows.append((run_id, *_figures(s3, outputs["artifacts_bucket"], run_id), since.get(run_id, ""), state))
    told = columns(rows)
    if endpoint is None:
        return f"{told}\nThe endpoint is off: `make start` brings the first of them into service."
    if serving != next(iter(releases.items())):
        return f"{told}\nThe endpoint does not run the first of them: docs/runbook.md says what to do."
    return told


def _state(endpoint: dict[str, Any]) -> str:
    """What an endpoint is for the release that it names. While it is updated, or goes back, the old one serves."""
    if endpoint["EndpointStatus"] in ("Creating", "Failed", "Deleting"):
        return str(endpoint["EndpointStatus"])
    instances = endpoint["ProductionVariants"][0].get("CurrentInstanceCount", 0)
    return f"in service, {instances} instance{'s' if instances != 1 else ''}"


def _figures(s3: Any, bucket: str, run_id: str) -> tuple[str, str, str, str]:
    """When a run was trained, its top-1 on test and on validation, its classes; of its archive as little is read."""
    try:
        model = s3.get_object(Bucket=bucket, Key=model_key(run_id))
        with tarfile.open(fileobj=model["Body"], mode="r|gz") as tar:
            raw = next(read_limited(file) for name, file in plain_members(tar) if name == MANIFEST_NAME)
        manifest = parse_manifest(raw)
    except s3.exceptions.NoSuchKey:
        return "its model is gone", "", "", ""
    except (StopIteration, ArtifactError, tarfile.TarError, OSError, EOFError):
        return "its model is damaged", "", "", ""
    top1 = [manifest.metrics.get(name) for name in ("test_top1", "valid_top1")]
    test, valid = ("" if figure is None else f"{figure:.1%}" for figure in top1)
    return _day(model["LastModified"]), test, valid, str(len(manifest.classes))


def _in_front_since(ssm: Any, parameter: str) -> dict[str, str]:
    """{run id: when it came to the front of the list last}, out of the parameter's history."""
    since, front = {}, ""
    for page in ssm.get_paginator("get_parameter_history").paginate(Name=parameter):
        for version in page["Parameters"]:
            if (run_id := next(iter(entries(version["Value"])), "")) != front:
                since[run_id], front = _day(version["LastModifiedDate"]), run_id
    return since


def _day(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outputs", type=Path, required=True)
    print(table(read_outputs(parser.parse_args().outputs)))


if __name__ == "__main__":
    run(main)

"""Build the serving image in AWS, and write down that models are served with it from the next apply on.

    python -m ops.image --outputs build/dev/outputs.json

Its tag is the SHA-256 of what it is built from. An image that ECR has is not built again.
"""

import argparse
import hashlib
import time
from pathlib import Path
from typing import Any

import boto3

from ops.outputs import ToolError, goes_on, read_outputs, run
from ops.package import REPOSITORY, zipped

# What docker is given, from inference/.
CONTEXT = ("Dockerfile", "requirements.txt", "*.py")
POLL_SECONDS = 3


def context(folder: Path) -> bytes:
    """A zip of what the image is built from, the Dockerfile at its root."""
    files = [path for pattern in CONTEXT for path in folder.glob(pattern)]
    return zipped({path.name: path.read_bytes() for path in files})


def make_image(session: boto3.Session, outputs: dict[str, Any], source: bytes) -> str:
    """Build the image of this source unless ECR has it, and write its tag into the parameter. Returns its URI.

    Raises ToolError: the environment names an image of its own, or the build failed; the parameter is then as it was.
    """
    if named := outputs.get("serving_image_uri"):  # Terraform leaves out what is null
        raise ToolError(f"No image needs to be built here: this environment's file says that {named} serves.")
    tag = hashlib.sha256(source).hexdigest()
    uri = f"{outputs['image_repository_url']}:{tag}"
    if is_in_registry(session, uri):
        print(f"{uri} is there already.", flush=True)
    else:
        build(session, outputs, tag, source)
        if not is_in_registry(session, uri):
            raise ToolError(f"The build succeeded, but there is no {uri}: see what its log says of the push.")
    session.client("ssm").put_parameter(Name=outputs["image_parameter"], Value=tag, Overwrite=True)
    return uri


def is_in_registry(session: boto3.Session, uri: str) -> bool:
    """Whether ECR has an image of this repository and tag."""
    ecr = session.client("ecr")
    repository, _, tag = uri.partition("/")[2].partition(":")
    try:
        ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
    except ecr.exceptions.ImageNotFoundException:
        return False
    return True


def build(session: boto3.Session, outputs: dict[str, Any], tag: str, source: bytes) -> None:
    """Have CodeBuild build and push the image, and show its log as it grows. Raises ToolError."""
    bucket, key = outputs["artifacts_bucket"], f"source/{tag}.zip"
    uploaded = session.client("s3").put_object(Bucket=bucket, Key=key, Body=source)
    started = session.client("codebuild").start_build(
        projectName=outputs["image_project_name"],
        sourceLocationOverride=f"{bucket}/{key}",
        sourceVersion=uploaded["VersionId"],  # whoever may write there too, cannot slip in another one
        environmentVariablesOverride=[{"name": "IMAGE_TAG", "value": tag, "type": "PLAINTEXT"}],
    )["build"]
    print(f"Build {started['id']} started.", flush=True)
    try:
        ended = follow(session, started["id"])
    except KeyboardInterrupt:
        raise goes_on(f"Build {started['id']}", f"codebuild stop-build --id {started['id']}") from None
    if ended["buildStatus"] != "SUCCEEDED":
        raise ToolError(f"The image was not built: {why_it_failed(ended)}")


def follow(session: boto3.Session, build_id: str) -> dict[str, Any]:
    """Print a build's phases and its log as they come. Returns BatchGetBuilds' last answer about it."""
    codebuild, logs = session.client("codebuild"), session.client("logs")
    phase, token = "", ""
    while True:
        (found,) = codebuild.batch_get_builds(ids=[build_id])["builds"]
        if found["currentPhase"] != phase:
            phase = found["currentPhase"]
            print(f"Phase {phase}", flush=True)
        token = print_log(logs, found.get("logs", {}), token)
        if found["buildStatus"] != "IN_PROGRESS":
            return dict(found)
        time.sleep(POLL_SECONDS)


def print_log(logs: Any, place: dict[str, Any], token: str) -> str:
    """Print what a build's log has behind a token, which is "" at its beginning. Returns the token to go on with."""
    if "streamName" not in place:  # it has no machine yet
        return token
    while True:
        more = {"nextToken": token} if token else {"startFromHead": True}
        try:
            page = logs.get_log_events(logGroupName=place["groupName"], logStreamName=place["streamName"], **more)
        except logs.exceptions.ResourceNotFoundException:  # it has written nothing yet
            return token
        for event in page["events"]:
            print(event["message"].rstrip(), flush=True)
        if page["nextForwardToken"] == token:
            return token
        token = page["nextForwardToken"]


def why_it_failed(ended: dict[str, Any]) -> str:
    """The end of a sentence: how a build ended, in which phase, why, and where its log is."""
    said = f"CodeBuild ended as {ended['buildStatus']}"
    for phase in ended["phases"]:
        if phase.get("phaseStatus", "SUCCEEDED") != "SUCCEEDED":
            reasons = [item["message"].strip() for item in phase.get("contexts", []) if item.get("message")]
            said += f" in phase {phase['phaseType']}" + "".join(f" ({reason})" for reason in reasons)
            break
    return f"{said}; its log is {ended['logs'].get('deepLink', 'not there')}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outputs", type=Path, required=True)
    outputs = read_outputs(parser.parse_args().outputs)
    uri = make_image(boto3.Session(region_name=outputs["region"]), outputs, context(REPOSITORY / "inference"))
    print(f"Models are served with {uri} from the next `make infra` or `make deploy` on.")


if __name__ == "__main__":
    run(main)

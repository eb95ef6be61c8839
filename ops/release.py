"""Choose what the endpoint serves, or whether there is one: write SSM parameters and apply them.

    python -m ops.release deploy --outputs build/dev/outputs.json [--run RUN] -- terraform -var=…
    python -m ops.release rollback --outputs build/dev/outputs.json [--run RUN] -- terraform -var=…
    python -m ops.release stop --outputs build/dev/outputs.json -- terraform -var=…

When the release does not get into service, all is put back as it was.
"""

import argparse
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from inference.artifact import RUN_ID_PATTERN, ArtifactError, manifest_sha256
from ops import smoke
from ops.outputs import ToolError, read_outputs, run
from ops.predict import predict
from ops.releases import describe, entries, in_service, model_key, read_parameter, with_count, with_release
from ops.terraform import apply

_IN_CHANGE = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_MODEL_KEY = re.compile(r"runs/([^/]+)/output/model\.tar\.gz")
# A function that has just been full, or an endpoint that has just changed, answers a moment later.
_ATTEMPTS, _PAUSE_SECONDS = 5, 2


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


def release_before(releases: str) -> str:
    """The run that was in service before the one that is. Raises ToolError when there was none."""
    try:
        return list(entries(releases))[1]
    except IndexError:
        raise ToolError("There is no release before this one: `make releases` shows what there is.") from None


def checked_digest(s3: Any, bucket: str, run_id: str) -> str:
    """SHA-256 of the artifact's model.json, once all was checked and it answered a photograph. Raises ToolError."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "model.tar.gz"
        try:
            s3.download_file(bucket, model_key(run_id), str(archive))
        except ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            raise ToolError(f"There is no model of a run {run_id!r}: `make deploy` takes the newest one.") from None
        try:
            digest = manifest_sha256(archive)
            smoke.check(archive, digest)
        except (ArtifactError, ToolError) as error:
            raise ToolError(f"The model of run {run_id} cannot be deployed: {error}") from None
        return digest


def live(sagemaker: Any, endpoint_name: str) -> tuple[str, int] | None:
    """(the run in service, the instances that autoscaling wants now); None where no endpoint is in service.

    Raises ToolError while the endpoint is being changed, when no apply could change it either.
    """
    endpoint = describe(sagemaker, endpoint_name)
    if endpoint and endpoint["EndpointStatus"] in _IN_CHANGE:
        status = endpoint["EndpointStatus"]
        raise ToolError(f"The endpoint {endpoint_name} is {status}: wait until it is done, and try again.")
    variants = endpoint.get("ProductionVariants") if endpoint else None
    if not endpoint or endpoint["EndpointStatus"] == "Failed" or not variants:
        return None
    return in_service(sagemaker, endpoint)[0], variants[0]["DesiredInstanceCount"]


def deploy(outputs: dict[str, Any], run_id: str | None, terraform: list[str], *, back: bool = False) -> str:
    """Put a run in front of the release list, apply, and see that it is what now serves. Returns how it went.

    It starts with as many instances as serve now: a new configuration would otherwise begin with the least, under a
    load that needs more. `back` takes what is on the list already, the one before without a `run_id`.

    Raises:
        ToolError: there is no such run, its model does not answer, or it did not get into service, and the release
            list is then as it was; or it did, and something else failed.
    """
    s3, ssm, sagemaker = (boto3.client(name, region_name=outputs["region"]) for name in ("s3", "ssm", "sagemaker"))
    if run_id is not None and not RUN_ID_PATTERN.fullmatch(run_id):
        raise ToolError(f"{run_id!r} is no run id: small letters, digits and dashes, 40 at most.")
    releases = read_parameter(ssm, outputs["releases_parameter"])
    listed = entries(releases)
    if back and run_id and run_id not in listed:
        raise ToolError(f"Run {run_id} is not on the release list: `make releases` shows it, `make deploy` adds to it.")
    run_id = run_id or (release_before(releases) if back else newest_run(s3, outputs["artifacts_bucket"]))
    digest = checked_digest(s3, outputs["artifacts_bucket"], run_id)
    if listed.get(run_id, digest) != digest:
        raise ToolError(f"The model of run {run_id} is another than was deployed before: bring its first version back.")
    changes = {outputs["releases_parameter"]: with_release(releases, run_id, digest)}
    # A release that serves keeps its configuration: it may be the one that SageMaker goes back to.
    serving = live(sagemaker, outputs["endpoint_name"])
    if serving and serving[0] != run_id:
        _refuse_while_an_alarm_fires(sagemaker, outputs["endpoint_name"])
        parameter = outputs["instance_counts_parameter"]
        changes[parameter] = with_count(read_parameter(ssm, parameter), run_id, serving[1])
    unasked: Exception | None = None
    not_deployed = f"Run {run_id} was not deployed, and the release list is as it was"
    with _written(ssm, changes):
        began = datetime.now(UTC)
        try:
            is_applied = apply(terraform)
        except KeyboardInterrupt:
            raise ToolError(f"{not_deployed}. The endpoint may go on changing: `make releases` tells.") from None
        # What counts is what serves: an apply can also fail behind the endpoint, or leave an endpoint that went back.
        failed = "" if is_applied else "the apply failed; "
        try:
            endpoint = describe(sagemaker, outputs["endpoint_name"])
            reason = endpoint and why_not_served(sagemaker, endpoint, (run_id, digest), began)
        except (ClientError, BotoCoreError) as error:
            if failed:
                raise ToolError(f"{not_deployed}: {failed}what serves could not be asked: {error}") from None
            unasked = error  # no reason to take back what was applied
        else:
            if reason or (failed and endpoint is None):
                raise ToolError(f"{not_deployed}: {failed}{reason or 'there is no endpoint.'}")
    if unasked:
        raise ToolError(f"Run {run_id} was applied; whether it serves could not be asked: {unasked}")
    if failed:
        raise ToolError(f"Run {run_id} is in service and first on the list, but {failed}mend that, then `make infra`.")
    if endpoint is None:
        return f"Run {run_id} is first on the list, and the endpoint is off: `make start` brings it into service."
    _ask_the_function(outputs, run_id)
    return f"Run {run_id} is in service at endpoint {outputs['endpoint_name']}, and the function answers."


def switch(outputs: dict[str, Any], serving: str, terraform: list[str]) -> str:
    """Take the endpoint away ("off") or bring it back ("on"), with the instances that it had. Returns how it went.

    Raises ToolError when the apply failed.
    """
    ssm, sagemaker = (boto3.client(name, region_name=outputs["region"]) for name in ("ssm", "sagemaker"))
    changes = {outputs["serving_parameter"]: serving}
    now = live(sagemaker, outputs["endpoint_name"])
    if serving == "off" and now and now[0]:
        parameter = outputs["instance_counts_parameter"]
        changes[parameter] = with_count(read_parameter(ssm, parameter), *now)
    with _written(ssm, changes):
        if not apply(terraform):
            raise ToolError(f"The endpoint was not switched {serving}: the apply failed.")
    if serving == "on" and describe(sagemaker, outputs["endpoint_name"]) is None:
        return f"The endpoint {outputs['endpoint_name']} comes with the first release: run `make deploy`."
    return f"The endpoint {outputs['endpoint_name']} is {serving}."


@contextmanager
def _written(ssm: Any, changes: dict[str, str]) -> Iterator[None]:
    """Write parameters, and put them back as they were when what follows fails; not what somebody else wrote since."""
    before = {parameter: read_parameter(ssm, parameter) for parameter in changes}
    try:
        for parameter, value in changes.items():
            ssm.put_parameter(Name=parameter, Value=value, Overwrite=True)
        yield
    except BaseException as reason:
        stuck = []
        for parameter, value in before.items():
            try:
                if read_parameter(ssm, parameter) == changes[parameter]:
                    ssm.put_parameter(Name=parameter, Value=value, Overwrite=True)
            except (ClientError, BotoCoreError) as error:
                stuck.append(f"{parameter} could not be put back to {value} ({error})")
        if stuck:
            raise ToolError(f"{reason} But {'; '.join(stuck)}: put it there before the next apply.") from reason
        raise


def why_not_served(sagemaker: Any, endpoint: dict[str, Any], release: tuple[str, str], began: datetime) -> str | None:
    """None when the endpoint serves this release, (run id, digest), else why it does not.

    Terraform cannot tell: an endpoint that went back by itself is in service too, and SageMaker says nothing of it. An
    alarm of its that changed since the deployment `began` does.
    """
    name = endpoint["EndpointName"]
    try:
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name)
    except WaiterError as error:
        return f"the endpoint did not come into service: {error.last_response.get('FailureReason', error)}"
    endpoint = sagemaker.describe_endpoint(EndpointName=name)
    if in_service(sagemaker, endpoint) == release:
        return None
    runs = f"the endpoint runs {endpoint['EndpointConfigName']}"
    if said := endpoint.get("FailureReason"):
        return f"{runs}: {said}"
    fired = [
        f"the alarm {alarm['AlarmName']} fired ({alarm['StateReason']})"
        for alarm in _rollback_alarms(sagemaker, endpoint)
        if alarm["StateValue"] == "ALARM" or alarm.get("StateTransitionedTimestamp", began) > began
    ]
    return f"{runs}: {'; '.join(fired) or 'none of its alarms fired'}"


def _refuse_while_an_alarm_fires(sagemaker: Any, endpoint_name: str) -> None:
    """Raise ToolError while an alarm is on at which SageMaker would send back whatever is deployed, a cure too."""
    alarms = _rollback_alarms(sagemaker, sagemaker.describe_endpoint(EndpointName=endpoint_name))
    if firing := [alarm["AlarmName"] for alarm in alarms if alarm["StateValue"] == "ALARM"]:
        raise ToolError(
            f"Nothing was changed: while the alarm {firing[0]} fires, SageMaker sends back every deployment. Wait "
            "until it is quiet; or run `make stop`, this again, and `make start`, with no endpoint in between."
        )


def _rollback_alarms(sagemaker: Any, endpoint: dict[str, Any]) -> list[dict[str, Any]]:
    """The alarms, as DescribeAlarms has them, that send back a deployment of this endpoint."""
    rollback = endpoint.get("LastDeploymentConfig", {}).get("AutoRollbackConfiguration", {})
    names = [alarm["AlarmName"] for alarm in rollback.get("Alarms", [])]
    if not names:
        return []  # asked for none, DescribeAlarms tells all
    cloudwatch = boto3.client("cloudwatch", region_name=sagemaker.meta.region_name)
    return list(cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"])


def _ask_the_function(outputs: dict[str, Any], run_id: str) -> None:
    """One photograph through the whole of it. Raises ToolError with the function's words."""
    for attempt in range(_ATTEMPTS):
        try:
            predict(outputs, smoke.photograph())
        except (ToolError, ClientError, BotoCoreError) as error:
            if attempt == _ATTEMPTS - 1:
                raise ToolError(f"Run {run_id} is in service, but the function has no answer: {error}") from None
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("action", choices=["deploy", "rollback", "stop", "start"])
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--run", default=None)
    parser.add_argument("terraform", nargs="+", help="Terraform, and the variables of its root")
    arguments = parser.parse_args()
    outputs = read_outputs(arguments.outputs)
    match arguments.action:
        case "deploy" | "rollback":
            back = arguments.action == "rollback"
            print(deploy(outputs, arguments.run or None, arguments.terraform, back=back))
        case action:
            serving = {"stop": "off", "start": "on"}[action]
            print(switch(outputs, serving, arguments.terraform))


if __name__ == "__main__":
    run(main)

"""Endpoints that really serve, by the API that everybody uses."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError
from PIL import Image

from tests.conftest import StandInUnderTest, wait_for
from tests.local_aws.tiny_model import pack_tiny_model

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/dogbreed-test-serving:latest"
BUCKET = "models-of-the-endpoint-tests"


def photograph(colour: str) -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(picture, "PNG")
    return picture.getvalue()


class Releases:
    """Makes models and configurations, and waits for endpoints."""

    def __init__(self, stand_in: StandInUnderTest, role_arn: str, folder: Path) -> None:
        self.stand_in, self.role_arn, self.folder = stand_in, role_arn, folder
        self.sagemaker, self.runtime = stand_in.client("sagemaker"), stand_in.client("sagemaker-runtime")

    def configuration(
        self,
        run_id: str,
        digest: str | None = None,
        image: str = IMAGE,
        key: str | None = None,
        instance_type: str = "ml.c7i.large",
    ) -> str:
        archive, true_digest = pack_tiny_model(self.folder, run_id)
        self.stand_in.client("s3").upload_file(str(archive), BUCKET, f"{run_id}.tar.gz")
        self.sagemaker.create_model(
            ModelName=run_id,
            ExecutionRoleArn=self.role_arn,
            PrimaryContainer={
                "Image": image,
                "ModelDataUrl": f"s3://{BUCKET}/{key or f'{run_id}.tar.gz'}",
                "Environment": {"MODEL_MANIFEST_SHA256": digest or true_digest},
            },
        )
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=run_id,
            ProductionVariants=[
                {
                    "VariantName": "AllTraffic",
                    "ModelName": run_id,
                    "InstanceType": instance_type,
                    "InitialInstanceCount": 1,
                }
            ],
        )
        return run_id

    def wait(self, name: str) -> dict[str, Any]:
        """DescribeEndpoint's answer once the endpoint rests."""
        deadline = time.monotonic() + 120
        while True:
            description: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=name)
            if description["EndpointStatus"] not in ("Creating", "Updating"):
                return description
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def run_id_that_answers(self, name: str) -> str:
        answer = self.runtime.invoke_endpoint(EndpointName=name, ContentType="image/png", Body=photograph("red"))
        return str(json.loads(answer["Body"].read())["model"]["run_id"])


@pytest.fixture
def releases(stand_in: StandInUnderTest, role_arn: str, tmp_path: Path) -> Iterator[Releases]:
    stand_in.client("s3").create_bucket(Bucket=BUCKET)
    releases = Releases(stand_in, role_arn, tmp_path)
    yield releases
    for endpoint in releases.sagemaker.list_endpoints()["Endpoints"]:
        releases.sagemaker.delete_endpoint(EndpointName=endpoint["EndpointName"])
    for configuration in releases.sagemaker.list_endpoint_configs()["EndpointConfigs"]:
        releases.sagemaker.delete_endpoint_config(EndpointConfigName=configuration["EndpointConfigName"])
    for model in releases.sagemaker.list_models()["Models"]:
        releases.sagemaker.delete_model(ModelName=model["ModelName"])
    s3 = stand_in.client("s3")
    for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        s3.delete_object(Bucket=BUCKET, Key=item["Key"])
    s3.delete_bucket(Bucket=BUCKET)


def serving_processes(stand_in: StandInUnderTest) -> list[psutil.Process]:
    return [process for process in stand_in.home.processes() if "inference.serve" in process.cmdline()]


def test_an_endpoint_serves_is_updated_without_a_gap_and_goes(releases: Releases) -> None:
    sagemaker = releases.sagemaker
    first, second = releases.configuration("run-1"), releases.configuration("run-2")
    sagemaker.create_endpoint(EndpointName="dogs", EndpointConfigName=first)
    assert sagemaker.describe_endpoint(EndpointName="dogs")["EndpointStatus"] == "Creating"
    with pytest.raises(ClientError, match="not found"):
        releases.run_id_that_answers("dogs")
    assert releases.wait("dogs")["EndpointStatus"] == "InService"
    assert releases.run_id_that_answers("dogs") == "run-1"
    assert releases.stand_in.listening_addresses() == {"127.0.0.1"}

    sagemaker.update_endpoint(EndpointName="dogs", EndpointConfigName=second)
    answers = [releases.run_id_that_answers("dogs")]  # while it updates, the old model answers
    while sagemaker.describe_endpoint(EndpointName="dogs")["EndpointStatus"] == "Updating":
        answers.append(releases.run_id_that_answers("dogs"))
    assert releases.run_id_that_answers("dogs") == "run-2"
    assert answers[0] == "run-1"
    assert sorted(answers) == answers  # once the new model answers, the old one does not come back

    with pytest.raises(ClientError, match="in use"):
        sagemaker.delete_endpoint_config(EndpointConfigName=second)
    sagemaker.delete_endpoint(EndpointName="dogs")
    with pytest.raises(ClientError, match="not found"):
        releases.run_id_that_answers("dogs")
    # The old model's process drains after the new one is in service, so it may end a moment later.
    wait_for(lambda: not serving_processes(releases.stand_in))


def test_a_model_that_does_not_load_fails_with_the_reason(releases: Releases) -> None:
    releases.configuration("wrong-digest", digest="0" * 64)
    releases.configuration("no-such-object", key="missing.tar.gz")
    releases.configuration("strange-image", image="docker.io/somebody/not-serving:latest")
    reasons = {}
    for name in ("wrong-digest", "no-such-object", "strange-image"):
        releases.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        description = releases.wait(name)
        assert description["EndpointStatus"] == "Failed"
        reasons[name] = description["FailureReason"]
    assert "did not pass the ping health check" in reasons["wrong-digest"]
    assert "Could not find model data" in reasons["no-such-object"]
    assert "cannot run docker.io/somebody/not-serving:latest" in reasons["strange-image"]
    logs = releases.stand_in.client("logs")
    group = "/aws/sagemaker/Endpoints/wrong-digest"
    (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    assert any("digest" in event["message"] for event in events)


def test_a_failed_update_leaves_the_old_model_in_service(releases: Releases) -> None:
    good, bad = releases.configuration("good"), releases.configuration("bad", digest="0" * 64)
    releases.sagemaker.create_endpoint(EndpointName="dogs", EndpointConfigName=good)
    releases.wait("dogs")
    releases.sagemaker.update_endpoint(EndpointName="dogs", EndpointConfigName=bad)
    for configuration in (good, bad):
        with pytest.raises(ClientError, match="in use"):
            releases.sagemaker.delete_endpoint_config(EndpointConfigName=configuration)
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        releases.sagemaker.update_endpoint(EndpointName="dogs", EndpointConfigName=good)
    description = releases.wait("dogs")
    assert (description["EndpointStatus"], description["EndpointConfigName"]) == ("InService", "good")
    assert "ping health check" in description["FailureReason"]
    assert releases.run_id_that_answers("dogs") == "good"


def test_what_autoscaling_holds_keeps_its_instance_type(releases: Releases) -> None:
    first, second = releases.configuration("small"), releases.configuration("large", instance_type="ml.c7i.xlarge")
    releases.sagemaker.create_endpoint(EndpointName="dogs", EndpointConfigName=first)
    releases.wait("dogs")
    held = {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/dogs/variant/AllTraffic"}
    held["ScalableDimension"] = "sagemaker:variant:DesiredInstanceCount"
    scaling = releases.stand_in.client("application-autoscaling")
    scaling.register_scalable_target(**held, MinCapacity=1, MaxCapacity=2)
    with pytest.raises(ClientError, match=r'"\[AllTraffic\]" must be deregistered as scalable targets'):
        releases.sagemaker.update_endpoint(EndpointName="dogs", EndpointConfigName=second)
    scaling.deregister_scalable_target(**held)
    releases.sagemaker.update_endpoint(EndpointName="dogs", EndpointConfigName=second)
    assert releases.wait("dogs")["EndpointConfigName"] == second


def test_a_name_that_is_a_path_is_refused(releases: Releases) -> None:
    configuration = releases.configuration("run-1")
    with pytest.raises(ClientError, match="failed to satisfy constraint"):
        releases.sagemaker.create_endpoint(EndpointName="../../dogs", EndpointConfigName=configuration)


def test_errors_are_answered_as_sagemaker_answers_them(releases: Releases) -> None:
    releases.sagemaker.create_endpoint(EndpointName="dogs", EndpointConfigName=releases.configuration("run-1"))
    releases.wait("dogs")

    def error(**request: Any) -> dict[str, Any]:
        with pytest.raises(ClientError) as caught:
            releases.runtime.invoke_endpoint(**{"EndpointName": "dogs", "ContentType": "image/png", **request})
        return caught.value.response

    refused = error(Body=b"no image")
    assert refused["Error"]["Code"] == "ModelError"
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert refused["OriginalStatusCode"] == 400
    assert json.loads(refused["OriginalMessage"])["error"]["message"]
    assert error(Body=b"x", ContentType="text/plain")["OriginalStatusCode"] == 415
    assert error(Body=b"x" * 6_291_457)["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert error(Body=b"x", EndpointName="cats")["Error"]["Code"] == "ValidationError"


def test_a_serving_process_that_dies_is_started_again(releases: Releases) -> None:
    name = "dogs"
    releases.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=releases.configuration("run-1"))
    releases.wait(name)
    (victim,) = serving_processes(releases.stand_in)
    victim.kill()
    deadline = time.monotonic() + 120
    while True:
        try:
            assert releases.run_id_that_answers(name) == "run-1"
            break
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ModelError"
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert victim not in serving_processes(releases.stand_in)

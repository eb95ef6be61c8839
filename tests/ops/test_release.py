"""Deploying: what is put back when a release does not get into service."""

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.home import REPOSITORY
from ops import release
from ops.outputs import ToolError
from tests.conftest import wait_for

OUTPUTS = {
    "region": "us-east-1",
    "artifacts_bucket": "b",
    "endpoint_name": "dogs",
    "releases_parameter": "/releases",
    "instance_counts_parameter": "/instance_counts",
    "serving_parameter": "/serving",
}
BEFORE = {"/releases": "old@old-digest", "/instance_counts": "none", "/serving": "on"}


class FakeCloud:
    """SSM parameters, and an endpoint of three instances that serves the model of one digest."""

    def __init__(self, served_digest: str) -> None:
        self.parameters = dict(BEFORE)
        model = {"PrimaryContainer": {"Environment": {"MODEL_MANIFEST_SHA256": served_digest}}}
        configuration = {"ProductionVariants": [{"ModelName": "m"}]}
        self.endpoint = {
            "EndpointConfigName": "c",
            "EndpointStatus": "InService",
            "FailureReason": "It did not pass the ping health check.",
            "ProductionVariants": [{"DesiredInstanceCount": 3}],
        }
        self.clients: dict[str, Any] = {
            "s3": None,
            "ssm": SimpleNamespace(
                get_parameter=lambda Name: {"Parameter": {"Value": self.parameters[Name]}}, put_parameter=self._put
            ),
            "sagemaker": SimpleNamespace(
                describe_endpoint=self._describe_endpoint,
                describe_endpoint_config=lambda EndpointConfigName: configuration,
                describe_model=lambda ModelName: model,
            ),
        }

    def _put(self, Name: str, Value: str, Overwrite: bool) -> None:
        assert Overwrite
        self.parameters[Name] = Value

    def _describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        if self.parameters["/serving"] == "off":
            raise ClientError(
                {"Error": {"Code": "ValidationException", "Message": "Could not find"}}, "DescribeEndpoint"
            )
        return self.endpoint


def use(monkeypatch: pytest.MonkeyPatch, cloud: FakeCloud) -> None:
    monkeypatch.setattr(release.boto3, "client", lambda service, region_name: cloud.clients[service])
    monkeypatch.setattr(release, "digest_of", lambda s3, bucket, run_id: f"{run_id}-digest")


def deploy(monkeypatch: pytest.MonkeyPatch, cloud: FakeCloud, apply: str, run_id: str = "new") -> str:
    use(monkeypatch, cloud)
    return release.deploy(OUTPUTS, run_id, [apply])


def test_a_release_that_serves_stays_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("new-digest")
    assert deploy(monkeypatch, cloud, "true") == "Run new is in service at endpoint dogs."
    assert cloud.parameters["/releases"] == "new@new-digest,old@old-digest"
    assert cloud.parameters["/instance_counts"] == "new=3"


def test_what_serves_already_keeps_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    assert deploy(monkeypatch, cloud, "true", "old") == "Run old is in service at endpoint dogs."
    assert cloud.parameters == BEFORE


def test_an_endpoint_that_never_came_into_service_has_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("new-digest")
    del cloud.endpoint["ProductionVariants"]
    cloud.endpoint["EndpointStatus"] = "Failed"
    assert deploy(monkeypatch, cloud, "true") == "Run new is in service at endpoint dogs."
    assert cloud.parameters == {**BEFORE, "/releases": "new@new-digest,old@old-digest"}


def test_while_the_endpoint_is_off_a_deploy_only_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    cloud.parameters["/serving"] = "off"
    assert "is first on the list, and the endpoint is off: `make start`" in deploy(monkeypatch, cloud, "true")
    assert cloud.parameters == {**BEFORE, "/serving": "off", "/releases": "new@new-digest,old@old-digest"}


@pytest.mark.parametrize("status", ["Creating", "Updating", "RollingBack"])
def test_an_endpoint_in_change_is_left_alone(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    cloud = FakeCloud("old-digest")
    cloud.endpoint["EndpointStatus"] = status
    with pytest.raises(ToolError, match=f"The endpoint dogs is {status}: wait"):
        deploy(monkeypatch, cloud, "true")
    assert cloud.parameters == BEFORE


def test_a_model_that_was_replaced_behind_the_list_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    cloud.parameters["/releases"] = "new@another-digest,old@old-digest"
    with pytest.raises(ToolError, match="The model of run new is another than was deployed before"):
        deploy(monkeypatch, cloud, "true")
    assert cloud.parameters["/releases"] == "new@another-digest,old@old-digest"


def test_what_somebody_else_wrote_meanwhile_is_not_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")

    def apply_fails_after_another_deploy(_: list[str]) -> int:
        cloud.parameters["/releases"] = "theirs@their-digest"
        return 1

    monkeypatch.setattr(release, "run_to_its_end", apply_fails_after_another_deploy)
    with pytest.raises(ToolError, match="the apply failed"):
        deploy(monkeypatch, cloud, "false")
    assert cloud.parameters == {**BEFORE, "/releases": "theirs@their-digest"}


def test_a_check_that_cannot_be_made_takes_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("new-digest")
    use(monkeypatch, cloud)

    def throttled(*_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "DescribeModel")

    monkeypatch.setattr(release, "why_not_served", throttled)
    with pytest.raises(ToolError, match=r"was applied; whether it serves could not be asked: .*Rate exceeded"):
        release.deploy(OUTPUTS, "new", ["true"])
    assert cloud.parameters["/releases"] == "new@new-digest,old@old-digest"


def test_off_and_on_keep_the_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    use(monkeypatch, cloud)
    release.switch(OUTPUTS, "off", ["true"])
    assert cloud.parameters == {**BEFORE, "/serving": "off", "/instance_counts": "old=3"}
    release.switch(OUTPUTS, "off", ["true"])  # twice: there is no endpoint to count
    release.switch(OUTPUTS, "on", ["true"])
    assert cloud.parameters == {**BEFORE, "/instance_counts": "old=3"}


def test_a_failed_switch_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    use(monkeypatch, cloud)
    with pytest.raises(ToolError, match="not switched off"):
        release.switch(OUTPUTS, "off", ["false"])
    assert cloud.parameters == BEFORE


def test_after_a_failed_apply_the_list_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    with pytest.raises(ToolError, match="the apply failed"):
        deploy(monkeypatch, cloud, "false")
    assert cloud.parameters == BEFORE


def test_an_endpoint_that_went_back_by_itself_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    with pytest.raises(ToolError, match="It did not pass the ping health check"):
        deploy(monkeypatch, cloud, "true")
    assert cloud.parameters == BEFORE


def test_ctrl_c_lets_the_apply_save_its_state(tmp_path: Path) -> None:
    apply = f"trap 'sleep 1; touch {tmp_path}/saved; exit 1' INT; touch {tmp_path}/started; while :; do sleep 0.1; done"
    program = f"from ops.release import run_to_its_end; run_to_its_end(['bash', '-c', {apply!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, start_new_session=True, stderr=subprocess.DEVNULL
    )
    wait_for((tmp_path / "started").exists)
    subprocess.run(["kill", f"-{signal.SIGINT.name[3:]}", "--", f"-{process.pid}"], check=True)
    assert process.wait(30) != 0
    assert (tmp_path / "saved").exists()

"""Deploying: what is put back when a release does not get into service."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from ops import release
from ops.outputs import ToolError

OUTPUTS = {
    "region": "us-east-1",
    "artifacts_bucket": "b",
    "function_name": "f",
    "endpoint_name": "dogs",
    "releases_parameter": "/releases",
    "instance_counts_parameter": "/instance_counts",
    "serving_parameter": "/serving",
}
BEFORE = {"/releases": "old@old-digest", "/instance_counts": "none", "/serving": "on"}


class FakeCloud:
    """SSM parameters, and an endpoint of three instances that serves the run old, and after an apply another."""

    def __init__(self, served_digest: str) -> None:
        self.parameters = dict(BEFORE)
        self.served_digest, self.served_after_apply = "old-digest", served_digest
        configuration = {"ProductionVariants": [{"ModelName": "m"}]}
        self.endpoint: dict[str, Any] = {
            "EndpointName": "dogs",
            "EndpointConfigName": "c",
            "EndpointStatus": "InService",
            "ProductionVariants": [{"DesiredInstanceCount": 3}],
            "LastDeploymentConfig": {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}},
        }
        self.alarm: dict[str, Any] = {"AlarmName": "errors", "StateValue": "OK", "StateReason": "Threshold Crossed"}
        self.alarm_after_apply: dict[str, Any] = {}
        self.clients: dict[str, Any] = {
            "s3": None,
            "ssm": SimpleNamespace(
                get_parameter=lambda Name: {"Parameter": {"Value": self.parameters[Name]}}, put_parameter=self._put
            ),
            "sagemaker": SimpleNamespace(
                describe_endpoint=self._describe_endpoint,
                describe_endpoint_config=lambda EndpointConfigName: configuration,
                describe_model=self._describe_model,
                get_waiter=lambda name: SimpleNamespace(wait=lambda EndpointName: None),
                meta=SimpleNamespace(region_name="us-east-1"),
            ),
            "cloudwatch": SimpleNamespace(describe_alarms=lambda AlarmNames: {"MetricAlarms": [self.alarm]}),
        }

    def _put(self, Name: str, Value: str, Overwrite: bool) -> None:
        assert Overwrite
        self.parameters[Name] = Value

    def _describe_model(self, ModelName: str) -> dict[str, Any]:
        url = f"s3://b/runs/{self.served_digest.removesuffix('-digest')}/output/model.tar.gz"
        return {"PrimaryContainer": {"ModelDataUrl": url, "Environment": {"MODEL_MANIFEST_SHA256": self.served_digest}}}

    def apply(self, _: list[str]) -> bool:
        self.served_digest = self.served_after_apply
        self.alarm |= self.alarm_after_apply
        return True

    def _describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        if self.parameters["/serving"] == "off":
            raise ClientError(
                {"Error": {"Code": "ValidationException", "Message": "Could not find"}}, "DescribeEndpoint"
            )
        return self.endpoint


def use(monkeypatch: pytest.MonkeyPatch, cloud: FakeCloud, *, applies: bool = True) -> None:
    monkeypatch.setattr(release.boto3, "client", lambda service, region_name: cloud.clients[service])
    monkeypatch.setattr(release, "checked_digest", lambda s3, bucket, run_id: f"{run_id}-digest")
    monkeypatch.setattr(release, "apply", cloud.apply if applies else lambda terraform: False)
    monkeypatch.setattr(release, "predict", lambda outputs, image: {})
    monkeypatch.setattr(release, "_PAUSE_SECONDS", 0)


def deploy(monkeypatch: pytest.MonkeyPatch, cloud: FakeCloud, run_id: str = "new", *, applies: bool = True) -> str:
    use(monkeypatch, cloud, applies=applies)
    return release.deploy(OUTPUTS, run_id, ["terraform"])


def test_a_release_that_serves_stays_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("new-digest")
    assert deploy(monkeypatch, cloud) == "Run new is in service at endpoint dogs, and the function answers."
    assert cloud.parameters["/releases"] == "new@new-digest,old@old-digest"
    assert cloud.parameters["/instance_counts"] == "new=3"


def test_what_serves_already_keeps_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    assert deploy(monkeypatch, cloud, "old") == "Run old is in service at endpoint dogs, and the function answers."
    assert cloud.parameters == BEFORE


def test_an_endpoint_that_never_came_into_service_has_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("new-digest")
    del cloud.endpoint["ProductionVariants"]
    cloud.endpoint["EndpointStatus"] = "Failed"
    assert deploy(monkeypatch, cloud) == "Run new is in service at endpoint dogs, and the function answers."
    assert cloud.parameters == {**BEFORE, "/releases": "new@new-digest,old@old-digest"}


def test_a_failed_endpoint_has_no_count_whatever_aws_tells_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("new-digest")
    cloud.endpoint |= {"EndpointStatus": "Failed", "ProductionVariants": [{}]}
    deploy(monkeypatch, cloud)
    assert cloud.parameters["/instance_counts"] == "none"


def test_while_the_endpoint_is_off_a_deploy_only_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    cloud.parameters["/serving"] = "off"
    assert "is first on the list, and the endpoint is off: `make start`" in deploy(monkeypatch, cloud)
    assert cloud.parameters == {**BEFORE, "/serving": "off", "/releases": "new@new-digest,old@old-digest"}


@pytest.mark.parametrize("status", ["Creating", "Updating", "RollingBack"])
def test_an_endpoint_in_change_is_left_alone(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    cloud = FakeCloud("old-digest")
    cloud.endpoint["EndpointStatus"] = status
    with pytest.raises(ToolError, match=f"The endpoint dogs is {status}: wait"):
        deploy(monkeypatch, cloud)
    assert cloud.parameters == BEFORE


def test_a_model_that_was_replaced_behind_the_list_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    cloud.parameters["/releases"] = "new@another-digest,old@old-digest"
    with pytest.raises(ToolError, match="The model of run new is another than was deployed before"):
        deploy(monkeypatch, cloud)
    assert cloud.parameters["/releases"] == "new@another-digest,old@old-digest"


def test_what_somebody_else_wrote_meanwhile_is_not_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")

    def apply_fails_after_another_deploy(_: list[str]) -> bool:
        cloud.parameters["/releases"] = "theirs@their-digest"
        return False

    use(monkeypatch, cloud)
    monkeypatch.setattr(release, "apply", apply_fails_after_another_deploy)
    with pytest.raises(ToolError, match="the apply failed"):
        release.deploy(OUTPUTS, "new", ["terraform"])
    assert cloud.parameters == {**BEFORE, "/releases": "theirs@their-digest"}


def test_a_check_that_cannot_be_made_takes_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("new-digest")
    use(monkeypatch, cloud)

    def throttled(*_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "DescribeModel")

    monkeypatch.setattr(release, "why_not_served", throttled)
    with pytest.raises(ToolError, match=r"was applied; whether it serves could not be asked: .*Rate exceeded"):
        release.deploy(OUTPUTS, "new", ["terraform"])
    assert cloud.parameters["/releases"] == "new@new-digest,old@old-digest"


def test_off_and_on_keep_the_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    use(monkeypatch, cloud)
    release.switch(OUTPUTS, "off", ["terraform"])
    assert cloud.parameters == {**BEFORE, "/serving": "off", "/instance_counts": "old=3"}
    release.switch(OUTPUTS, "off", ["terraform"])  # twice: there is no endpoint to count
    release.switch(OUTPUTS, "on", ["terraform"])
    assert cloud.parameters == {**BEFORE, "/instance_counts": "old=3"}


def test_a_failed_switch_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    use(monkeypatch, cloud, applies=False)
    with pytest.raises(ToolError, match="not switched off"):
        release.switch(OUTPUTS, "off", ["terraform"])
    assert cloud.parameters == BEFORE


def test_after_a_failed_apply_the_list_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    with pytest.raises(ToolError, match="the apply failed"):
        deploy(monkeypatch, cloud, applies=False)
    assert cloud.parameters == BEFORE


def test_an_endpoint_that_went_back_with_a_word_is_told_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    cloud.endpoint["FailureReason"] = "It did not pass the ping health check."
    with pytest.raises(ToolError, match="as it was: the endpoint runs c: It did not pass the ping health check"):
        deploy(monkeypatch, cloud)
    assert cloud.parameters == BEFORE


@pytest.mark.parametrize("rests", [False, True])
def test_a_silent_rollback_is_told_with_the_alarm_that_fired(monkeypatch: pytest.MonkeyPatch, *, rests: bool) -> None:
    """Also where the alarm is quiet again by then."""
    cloud = FakeCloud("old-digest")
    later = datetime.now(UTC) + timedelta(seconds=9)
    cloud.alarm_after_apply = {"StateTransitionedTimestamp": later} if rests else {"StateValue": "ALARM"}
    with pytest.raises(ToolError, match=r"the endpoint runs c: the alarm errors fired \(Threshold Crossed\)"):
        deploy(monkeypatch, cloud)
    assert cloud.parameters == BEFORE


@pytest.mark.parametrize("back", [False, True])
def test_nothing_is_deployed_while_an_alarm_fires(monkeypatch: pytest.MonkeyPatch, *, back: bool) -> None:
    cloud = FakeCloud("new-digest")
    cloud.alarm["StateValue"] = "ALARM"
    cloud.parameters["/releases"] = "old@old-digest,new@new-digest"
    before = dict(cloud.parameters)
    use(monkeypatch, cloud)
    with pytest.raises(ToolError, match="while the alarm errors fires, SageMaker sends back every deployment"):
        release.deploy(OUTPUTS, "new", ["terraform"], back=back)
    assert cloud.parameters == before


def test_what_serves_already_is_no_deployment_that_an_alarm_could_send_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    cloud.alarm["StateValue"] = "ALARM"
    assert "Run old is in service" in deploy(monkeypatch, cloud, "old")


def test_an_alarm_that_changed_long_ago_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    cloud.alarm["StateTransitionedTimestamp"] = datetime.now(UTC) - timedelta(days=1)
    with pytest.raises(ToolError, match="the endpoint runs c: none of its alarms fired"):
        deploy(monkeypatch, cloud)


def test_an_endpoint_that_does_not_come_into_service_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("new-digest")

    def wait(EndpointName: str) -> None:
        raise WaiterError("EndpointInService", "terminal failure", {"FailureReason": "No capacity."})

    cloud.clients["sagemaker"].get_waiter = lambda name: SimpleNamespace(wait=wait)
    with pytest.raises(ToolError, match="did not come into service: No capacity"):
        deploy(monkeypatch, cloud)
    assert cloud.parameters == BEFORE


def test_a_function_without_an_answer_is_an_error_and_takes_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("new-digest")
    use(monkeypatch, cloud)

    def fails(*_: Any) -> None:
        raise ToolError("502 from the function: The model failed to answer.")

    monkeypatch.setattr(release, "predict", fails)
    with pytest.raises(ToolError, match="Run new is in service, but the function has no answer: 502"):
        release.deploy(OUTPUTS, "new", ["terraform"])
    assert cloud.parameters["/releases"] == "new@new-digest,old@old-digest"


def test_a_function_that_is_full_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud, refusals = FakeCloud("new-digest"), ["429", "429"]
    use(monkeypatch, cloud)

    def full_at_first(*_: Any) -> None:
        if refusals:
            raise ToolError(refusals.pop())

    monkeypatch.setattr(release, "predict", full_at_first)
    assert "and the function answers" in release.deploy(OUTPUTS, "new", ["terraform"])
    assert not refusals


def test_a_rollback_takes_the_release_before_or_one_on_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("b-digest")
    use(monkeypatch, cloud)
    cloud.parameters["/releases"] = "a@a-digest,b@b-digest,c@c-digest"
    assert "Run b is in service" in release.deploy(OUTPUTS, None, ["terraform"], back=True)
    assert cloud.parameters["/releases"] == "b@b-digest,a@a-digest,c@c-digest"
    with pytest.raises(ToolError, match="Run d is not on the release list"):
        release.deploy(OUTPUTS, "d", ["terraform"], back=True)
    cloud.parameters["/releases"] = "a@a-digest"
    with pytest.raises(ToolError, match="There is no release before this one"):
        release.deploy(OUTPUTS, None, ["terraform"], back=True)


def test_what_serves_counts_also_when_the_apply_failed_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("new-digest")
    use(monkeypatch, cloud)
    monkeypatch.setattr(release, "apply", lambda terraform: cloud.apply(terraform) and False)
    with pytest.raises(ToolError, match="Run new is in service and first on the list, but the apply failed"):
        release.deploy(OUTPUTS, "new", ["terraform"])
    assert cloud.parameters["/releases"] == "new@new-digest,old@old-digest"


def test_an_interrupted_apply_puts_the_list_back_and_says_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("new-digest")
    use(monkeypatch, cloud)

    def interrupted(_: list[str]) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(release, "apply", interrupted)
    with pytest.raises(ToolError, match=r"list is as it was\. The endpoint may go on changing: `make releases` tells"):
        release.deploy(OUTPUTS, "new", ["terraform"])
    assert cloud.parameters == BEFORE


def test_a_list_that_cannot_be_put_back_is_told_behind_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    use(monkeypatch, cloud)

    def expire(_: list[str]) -> bool:
        def expired(**_: Any) -> None:
            raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "expired"}}, "PutParameter")

        cloud.clients["ssm"].put_parameter = expired
        return False

    monkeypatch.setattr(release, "apply", expire)
    with pytest.raises(ToolError, match=r"the apply failed.* But /releases could not be put back to old@old-digest"):
        release.deploy(OUTPUTS, "new", ["terraform"])


def test_a_configuration_that_was_deleted_under_the_endpoint_hinders_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("new-digest")
    describe = cloud.clients["sagemaker"].describe_endpoint_config

    def gone_before_the_apply(EndpointConfigName: str) -> dict[str, Any]:
        if cloud.served_digest == "old-digest":
            raise ClientError({"Error": {"Code": "ValidationException", "Message": "Could not find"}}, "Describe")
        return dict(describe(EndpointConfigName))

    cloud.clients["sagemaker"].describe_endpoint_config = gone_before_the_apply
    assert "Run new is in service" in deploy(monkeypatch, cloud)


def test_start_without_a_release_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    use(monkeypatch, cloud)

    def none_yet(EndpointName: str) -> None:
        raise ClientError({"Error": {"Code": "ValidationException", "Message": "Could not find"}}, "DescribeEndpoint")

    cloud.clients["sagemaker"].describe_endpoint = none_yet
    said = release.switch(OUTPUTS, "on", ["terraform"])
    assert said == "The endpoint dogs comes with the first release: run `make deploy`."


def test_stop_takes_away_an_endpoint_that_no_list_names(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    use(monkeypatch, cloud)
    cloud.parameters["/releases"] = "none"
    assert release.switch(OUTPUTS, "off", ["terraform"]) == "The endpoint dogs is off."
    assert cloud.parameters["/instance_counts"] == "old=3"

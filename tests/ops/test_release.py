"""Deploying: what is put back when a release does not get into service."""

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local_aws.home import REPOSITORY
from ops import release
from ops.outputs import ToolError
from tests.conftest import wait_for

OUTPUTS = {"region": "us-east-1", "artifacts_bucket": "b", "releases_parameter": "/releases", "endpoint_name": "dogs"}


class FakeCloud:
    """An SSM parameter, and an endpoint that serves the model of one digest."""

    def __init__(self, served_digest: str) -> None:
        self.releases = "old@old-digest"
        model = {"PrimaryContainer": {"Environment": {"MODEL_MANIFEST_SHA256": served_digest}}}
        configuration = {"ProductionVariants": [{"ModelName": "m"}]}
        endpoint = {"EndpointConfigName": "c", "FailureReason": "It did not pass the ping health check."}
        self.clients: dict[str, Any] = {
            "s3": None,
            "ssm": SimpleNamespace(
                get_parameter=lambda Name: {"Parameter": {"Value": self.releases}}, put_parameter=self._put
            ),
            "sagemaker": SimpleNamespace(
                describe_endpoint=lambda EndpointName: endpoint,
                describe_endpoint_config=lambda EndpointConfigName: configuration,
                describe_model=lambda ModelName: model,
            ),
        }

    def _put(self, Value: str, **_: Any) -> None:
        self.releases = Value


def deploy(monkeypatch: pytest.MonkeyPatch, cloud: FakeCloud, apply: str) -> str:
    monkeypatch.setattr(release.boto3, "client", lambda service, region_name: cloud.clients[service])
    monkeypatch.setattr(release, "digest_of", lambda s3, bucket, run_id: "new-digest")
    return release.deploy(OUTPUTS, "new", [apply])


def test_a_release_that_serves_stays_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("new-digest")
    assert deploy(monkeypatch, cloud, "true") == "new"
    assert cloud.releases == "new@new-digest,old@old-digest"


def test_after_a_failed_apply_the_list_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    with pytest.raises(ToolError, match="the apply failed"):
        deploy(monkeypatch, cloud, "false")
    assert cloud.releases == "old@old-digest"


def test_an_endpoint_that_went_back_by_itself_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud("old-digest")
    with pytest.raises(ToolError, match="It did not pass the ping health check"):
        deploy(monkeypatch, cloud, "true")
    assert cloud.releases == "old@old-digest"


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

"""`make image`: what is packed, when nothing is built, how a build that failed is told. CodeBuild itself is played."""

import hashlib
import io
import json
import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import moto
import pytest

from local_aws.home import REPOSITORY
from ops import image
from ops.image import context, make_image
from ops.outputs import ToolError

SOURCE = b"a zip"
TAG = hashlib.sha256(SOURCE).hexdigest()
OUTPUTS = {
    "artifacts_bucket": "artifacts",
    "image_parameter": "/dogbreed/test/image",
    "image_project_name": "dogbreed-test-serving-image",
    "image_repository_url": "123456789012.dkr.ecr.us-east-1.amazonaws.com/dogbreed-test-serving",
}
URI = f"{OUTPUTS['image_repository_url']}:{TAG}"
MANIFEST = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "layers": []}


class Builds:
    """CodeBuild: three looks at one build, which pushes what it was told to and ends as it is told."""

    def __init__(self, session: boto3.Session, ends_as: str = "SUCCEEDED", pushes: bool = True) -> None:
        self.session, self.ends_as, self.pushes = session, ends_as, pushes
        self.request: dict[str, Any] = {}
        self.looks = 0

    def start_build(self, **request: Any) -> dict[str, Any]:
        self.request = request
        logs = self.session.client("logs")
        logs.create_log_group(logGroupName="/aws/codebuild/dogs")
        return {"build": {"id": "dogs:1"}}

    def batch_get_builds(self, ids: list[str]) -> dict[str, Any]:
        assert ids == ["dogs:1"]
        self.looks += 1
        place = {"groupName": "/aws/codebuild/dogs", "streamName": "1", "deepLink": "https://console/1"}
        match self.looks:
            case 1:
                return self._build("QUEUED", "IN_PROGRESS", {"deepLink": "https://console/0"})
            case 2:  # it has a machine, which has written nothing yet
                return self._build("PROVISIONING", "IN_PROGRESS", place)
            case 3:
                self.session.client("logs").create_log_stream(logGroupName=place["groupName"], logStreamName="1")
                self._write("first line\n")
                return self._build("BUILD", "IN_PROGRESS", place)
        self._write("last line\n")
        if self.pushes and self.ends_as == "SUCCEEDED":
            push(self.session)
        return self._build("COMPLETED", self.ends_as, place)

    def _write(self, message: str) -> None:
        self.session.client("logs").put_log_events(
            logGroupName="/aws/codebuild/dogs",
            logStreamName="1",
            logEvents=[{"timestamp": int(1000 * time.time()), "message": message}],
        )

    def _build(self, phase: str, status: str, logs: dict[str, str]) -> dict[str, Any]:
        failed = {"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [{"message": "docker push: exit 1"}]}
        phases = [{"phaseType": "INSTALL", "phaseStatus": "SUCCEEDED", "contexts": [{"message": ""}]}]
        phases += [failed] if status == "FAILED" else []
        phases += [{"phaseType": phase}]
        return {
            "builds": [{"id": "dogs:1", "currentPhase": phase, "buildStatus": status, "logs": logs, "phases": phases}]
        }


def push(session: boto3.Session) -> None:
    manifest = json.dumps({**MANIFEST, "config": {"digest": "sha256:0"}})
    session.client("ecr").put_image(repositoryName="dogbreed-test-serving", imageManifest=manifest, imageTag=TAG)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    """An account with the bucket, the repository and the parameter."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(image, "POLL_SECONDS", 0)
    with moto.mock_aws():
        session = boto3.Session(region_name="us-east-1")
        s3 = session.client("s3")
        s3.create_bucket(Bucket="artifacts")
        s3.put_bucket_versioning(Bucket="artifacts", VersioningConfiguration={"Status": "Enabled"})
        session.client("ecr").create_repository(repositoryName="dogbreed-test-serving", imageTagMutability="IMMUTABLE")
        session.client("ssm").put_parameter(Name=OUTPUTS["image_parameter"], Value="none", Type="String")
        yield session


def play(monkeypatch: pytest.MonkeyPatch, builds: Builds) -> None:
    client = builds.session.client
    monkeypatch.setattr(builds.session, "client", lambda name: builds if name == "codebuild" else client(name))


def tag_in_use(session: boto3.Session) -> str:
    return str(session.client("ssm").get_parameter(Name=OUTPUTS["image_parameter"])["Parameter"]["Value"])


def test_an_image_is_built_from_its_own_source_and_then_used(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    builds = Builds(session)
    play(monkeypatch, builds)
    assert make_image(session, OUTPUTS, SOURCE) == URI
    assert tag_in_use(session) == TAG
    version = builds.request.pop("sourceVersion")
    assert builds.request == {
        "projectName": "dogbreed-test-serving-image",
        "sourceLocationOverride": f"artifacts/source/{TAG}.zip",
        "environmentVariablesOverride": [{"name": "IMAGE_TAG", "value": TAG, "type": "PLAINTEXT"}],
    }
    source = session.client("s3").get_object(Bucket="artifacts", Key=f"source/{TAG}.zip", VersionId=version)
    assert source["Body"].read() == SOURCE
    assert capsys.readouterr().out.splitlines() == [
        "Build dogs:1 started.",
        "Phase QUEUED",
        "Phase PROVISIONING",
        "Phase BUILD",
        "first line",
        "Phase COMPLETED",
        "last line",
    ]


def test_an_image_that_is_there_is_not_built_again(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = Builds(session)
    play(monkeypatch, builds)
    push(session)
    assert make_image(session, OUTPUTS, SOURCE) == URI
    assert tag_in_use(session) == TAG
    assert (builds.request, builds.looks) == ({}, 0)


@pytest.mark.parametrize(
    ("ends_as", "pushes", "said"),
    [
        (
            "FAILED",
            True,
            "The image was not built: CodeBuild ended as FAILED in phase BUILD (docker push: exit 1); its log is "
            "https://console/1",
        ),
        ("STOPPED", True, "The image was not built: CodeBuild ended as STOPPED; its log is https://console/1"),
        ("SUCCEEDED", False, f"The build succeeded, but there is no {URI}: see what its log says of the push."),
    ],
)
def test_without_an_image_nothing_changes_and_one_sentence_says_why(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch, ends_as: str, pushes: bool, said: str
) -> None:
    play(monkeypatch, Builds(session, ends_as, pushes))
    with pytest.raises(ToolError) as refused:
        make_image(session, OUTPUTS, SOURCE)
    assert str(refused.value) == said
    assert tag_in_use(session) == "none"


def test_who_stops_watching_is_told_how_to_stop_the_build(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = Builds(session)
    play(monkeypatch, builds)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(image.time, "sleep", interrupt)
    monkeypatch.setenv("SHELL_PREFIX", "first && ")
    said = r"goes on without being watched; to stop it: \(first && \.venv/bin/aws codebuild stop-build --id \S+\)$"
    with pytest.raises(ToolError, match=said):
        make_image(session, OUTPUTS, SOURCE)
    assert tag_in_use(session) == "none"


def test_where_the_environment_names_an_image_none_is_built(session: boto3.Session) -> None:
    named = "123456789012.dkr.ecr.us-east-1.amazonaws.com/dogbreed-local-serving:this-checkout"
    with pytest.raises(ToolError, match=f"^No image needs to be built here: this environment's file says that {named}"):
        make_image(session, OUTPUTS | {"serving_image_uri": named}, SOURCE)
    assert tag_in_use(session) == "none"


def test_the_same_files_have_the_same_tag_whenever_and_wherever_they_are_packed(tmp_path: Path) -> None:
    for name in ("Dockerfile", "requirements.txt", "serve.py", "requirements.in", "__pycache__/serve.pyc"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(name)
    before = context(tmp_path)
    assert zipfile.ZipFile(io.BytesIO(before)).namelist() == ["Dockerfile", "requirements.txt", "serve.py"]
    for file in tmp_path.rglob("*.*"):
        os.utime(file, (0, 0))
        file.chmod(0o600)
    (tmp_path / "requirements.in").write_text("something else")
    assert context(tmp_path) == before
    (tmp_path / "serve.py").write_text("serve")
    assert context(tmp_path) != before


def test_everything_in_the_room_is_packed_but_what_only_makes_the_lock_file() -> None:
    room = REPOSITORY / "inference"
    packed = zipfile.ZipFile(io.BytesIO(context(room))).namelist()
    there = [path.relative_to(room).as_posix() for path in room.rglob("*") if path.is_file()]
    assert {name for name in there if "__pycache__" not in name} - set(packed) == {"requirements.in"}

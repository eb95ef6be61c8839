"""`make doctor`: what is well, what is not and what to do, and that no check hides another. Quotas are played."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import moto
import pytest
from botocore.stub import Stubber

from local_aws.home import REPOSITORY
from ops import doctor as module
from ops.doctor import Doctor, configured, verdict

NAMED = "123456789012.dkr.ecr.us-east-1.amazonaws.com/dogbreed-dev-serving"
OUTPUTS = {
    "region": "us-east-1",
    "data_bucket": "data",
    "artifacts_bucket": "artifacts",
    "image_parameter": "/dogbreed/dev/image",
    "image_repository_url": NAMED,
    "training_instance_type": "ml.m5.xlarge",
    "billed": {"endpoint_instance_type": "ml.c7i.large", "endpoint_instances": 1},
    "function_reserved_concurrency": 5,
}


def let_in(environment: str = "dev", outputs: dict[str, Any] = OUTPUTS) -> Doctor:
    doctor = Doctor(environment, outputs)
    doctor.is_let_in = True
    return doctor


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with moto.mock_aws():
        yield boto3.Session(region_name="us-east-1")


def run_doctor(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") and name != "https_proxy"}
    masked = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    unreachable = {"HTTPS_PROXY": "http://127.0.0.1:9", "AWS_EC2_METADATA_DISABLED": "true"}
    return subprocess.run(
        [sys.executable, "-m", "ops.doctor", "--outputs", str(folder / "outputs.json")],
        cwd=REPOSITORY,
        env=own | masked | unreachable | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_credentials_every_check_is_reported_and_says_what_to_do(tmp_path: Path) -> None:
    done = run_doctor(tmp_path, ENV="dev")
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert (done.returncode, done.stderr) == (1, "")
    assert [name[:9].strip() for name in lines] == ["ok", "problem", "problem", *6 * ["not asked"]]
    assert lines["problem    credentials"].startswith("ENV=dev is AWS, and your credentials do not get there: ")
    assert lines["problem    credentials"].endswith("Log in, or name a profile: AWS_PROFILE=<its name>.")
    assert lines["problem    clock"].endswith("Nothing answers there: look at the network, and at HTTPS_PROXY.")
    assert lines["not asked  region"] == "it takes credentials that lead somewhere."
    assert lines["not asked  training quota"] == "it takes credentials that lead somewhere."
    assert lines["not asked  buckets"] == "there is no data bucket yet: run `make infra`."


def test_quotas_are_held_against_what_is_configured_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also after an init, whose backend the folder of variables does not have."""
    (tmp_path / "terraform.tfstate").write_text('{"version": 3, "backend": {"type": "s3", "config": {}, "hash": 1}}')
    monkeypatch.setenv("TF_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TF_VAR_training_instance_type", "ml.g5.xlarge")
    found = configured("prod")
    assert found == {
        "region": "us-east-1",
        "training_instance_type": "ml.g5.xlarge",
        "function_reserved_concurrency": 100,
        "billed": {"endpoint_instance_type": "ml.c7i.large", "endpoint_instances": 2},
    }
    monkeypatch.setenv("TF_VAR_function_reserved_concurrency", "null")
    assert "function_reserved_concurrency" not in configured("dev")
    monkeypatch.setenv("PATH", "")
    assert configured("dev") == {}
    assert capfd.readouterr() == ("", "")


def test_without_the_stand_in_it_is_the_one_problem_and_what_only_aws_has_is_said_to_be_so(tmp_path: Path) -> None:
    done = run_doctor(tmp_path, ENV="local", LOCAL_AWS_HOME=str(tmp_path / "home"))
    assert done.returncode == 1
    assert "problem    credentials: The stand-in is not up: run `make up` first." in done.stdout
    assert done.stdout.count("problem") == 1
    assert "not asked  clock: the stand-in goes by this machine's own clock." in done.stdout


def test_credentials_are_those_that_the_door_lets_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ops").mkdir()
    door = tmp_path / "ops" / "in_cloud.sh"
    door.write_text('#!/bin/sh\necho "ENV=$1: AWS, as someone" >&2\nshift\nAWS_PROFILE=from-the-door exec "$@"\n')
    door.chmod(0o755)
    monkeypatch.setattr(module, "REPOSITORY", tmp_path)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    doctor = Doctor("dev", OUTPUTS)
    assert verdict(doctor.credentials) == ("ok", "ENV=dev: AWS, as someone")
    assert (doctor.is_let_in, os.environ["AWS_PROFILE"]) == (True, "from-the-door")


def test_a_missing_tool_is_a_problem_with_all_that_the_check_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ops").mkdir()
    tools = tmp_path / "ops" / "check_tools.sh"
    tools.write_text("#!/bin/sh\necho git is missing. >&2\necho Terraform is too old. >&2\nexit 1\n")
    tools.chmod(0o755)
    monkeypatch.setattr(module, "REPOSITORY", tmp_path)
    assert verdict(let_in().tools) == ("problem", "git is missing. Terraform is too old.")


@pytest.mark.parametrize(("minutes", "status"), [(0, "ok"), (-4, "ok"), (6, "problem"), (-6, "problem")])
def test_a_clock_that_aws_refuses_is_a_problem(monkeypatch: pytest.MonkeyPatch, minutes: int, status: str) -> None:
    """Told by the date of an answer that refuses: nobody's credentials take part."""

    class Sts(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert "Authorization" not in self.headers
            self.send_response_only(403)
            self.send_header("Date", format_datetime(datetime.now(UTC) - timedelta(minutes=minutes), usegmt=True))
            self.end_headers()
            self.wfile.write(b"<ErrorResponse><Error><Code>MissingAuthenticationToken</Code></Error></ErrorResponse>")

        def log_request(self, *arguments: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Sts) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        found, said = verdict(Doctor("dev", {}).clock)
    seconds = int(said.split(" s ahead of AWS's")[0])
    assert (found, abs(seconds - 60 * minutes) <= 2) == (status, True)


@pytest.mark.parametrize(("here", "status"), [("us-east-1", "ok"), ("", "ok"), ("eu-west-1", "problem")])
def test_another_region_than_terraform_s_is_a_problem(
    aws: boto3.Session, monkeypatch: pytest.MonkeyPatch, here: str, status: str
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", here) if here else monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    found, said = verdict(let_in().region)
    assert (found, "us-east-1" in said) == (status, True)


def test_buckets_are_asked_each_and_one_that_is_gone_is_named(aws: boto3.Session) -> None:
    aws.client("s3").create_bucket(Bucket="artifacts")
    found, said = verdict(let_in().buckets)
    assert (found, said.split(".")[0]) == ("problem", "data answers 404")
    assert "artifacts" not in said
    assert "run `make infra`" in said
    aws.client("s3").create_bucket(Bucket="data")
    assert verdict(let_in().buckets) == ("ok", "data and artifacts are reachable.")


def test_the_image_has_to_be_built_and_still_be_there(aws: boto3.Session) -> None:
    ssm, ecr, tag = aws.client("ssm"), aws.client("ecr"), "0" * 64
    ecr.create_repository(repositoryName="dogbreed-dev-serving")
    ssm.put_parameter(Name="/dogbreed/dev/image", Value="none", Type="String")
    remedy = "and no model can be deployed without it: run `make image`."
    assert verdict(let_in().serving_image) == ("problem", f"none was built yet, {remedy}")
    ssm.put_parameter(Name="/dogbreed/dev/image", Value=tag, Overwrite=True)
    assert verdict(let_in().serving_image) == ("problem", f"ECR has no {NAMED}:{tag}, {remedy}")
    ecr.put_image(repositoryName="dogbreed-dev-serving", imageManifest="{}", imageManifestMediaType="x", imageTag=tag)
    assert verdict(let_in().serving_image) == ("ok", f"{NAMED}:{tag} is in ECR.")
    found, said = verdict(let_in(outputs=OUTPUTS | {"serving_image_uri": f"{NAMED}:any"}).serving_image)
    assert (found, f"dev.tfvars names one of its own, {NAMED}:any" in said) == ("not asked", True)


def test_an_error_that_nobody_thought_of_is_a_problem_of_that_check_alone(aws: boto3.Session) -> None:
    found, said = verdict(let_in().serving_image)
    assert (found, "ParameterNotFound" in said) == ("problem", True)


TRAINING, ENDPOINT, FUNCTION = Doctor.training_quota, Doctor.endpoint_quota, Doctor.function_quota


@pytest.mark.parametrize(
    ("check", "service", "name", "applied", "default", "status"),
    [
        (TRAINING, "sagemaker", "ml.m5.xlarge for training job usage", 0, 9, "problem"),
        (TRAINING, "sagemaker", "ml.m5.xlarge for training job usage", 1, 0, "ok"),
        (TRAINING, "sagemaker", "ml.m5.xlarge for training job usage", None, None, "not asked"),
        (ENDPOINT, "sagemaker", "ml.c7i.large for endpoint usage", 1, 9, "problem"),
        (ENDPOINT, "sagemaker", "ml.c7i.large for endpoint usage", None, 2, "ok"),
        (FUNCTION, "lambda", "Concurrent executions", 10, 1000, "problem"),
        (FUNCTION, "lambda", "Concurrent executions", 104, 1000, "problem"),
        (FUNCTION, "lambda", "Concurrent executions", 105, 1000, "ok"),
    ],
)
def test_a_quota_is_what_the_account_has_or_else_the_default_and_is_held_against_what_is_needed(
    monkeypatch: pytest.MonkeyPatch,
    check: Callable[[Doctor], str],
    service: str,
    name: str,
    applied: int | None,
    default: int | None,
    status: str,
) -> None:
    client = boto3.client("service-quotas", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    doctor, other = let_in(), {"QuotaName": f"{name} of something else", "Value": 1000.0}
    with Stubber(client) as stubber:
        values = {"list_service_quotas": applied, "list_aws_default_service_quotas": default}
        for operation, value in values.items():
            stubber.add_response(operation, {"Quotas": [other], "NextToken": "2"}, {"ServiceCode": service})
            found = [{"QuotaName": name, "Value": float(value)}] if value is not None else []
            stubber.add_response(operation, {"Quotas": found}, {"ServiceCode": service, "NextToken": "2"})
            if found:
                break
        monkeypatch.setattr(doctor, "session", lambda: type("Session", (), {"client": lambda *_: client}))
        found_status, said = verdict(lambda: check(doctor))
        stubber.assert_no_pending_responses()
    assert found_status == status
    assert name in said
    assert ("Service Quotas console" in said) is (status == "problem")


def test_what_an_older_terraform_did_not_write_is_not_asked() -> None:
    outputs = {name: value for name, value in OUTPUTS.items() if name != "billed"}
    said = "there is no billed yet: run `make infra`."
    assert verdict(let_in(outputs=outputs).endpoint_quota) == ("not asked", said)

"""Arguments on their way from the command line to the job."""

import io
from pathlib import Path

import boto3
import moto
import pytest
from botocore.exceptions import ClientError

from ops.outputs import ToolError, remedy, run
from ops.train import ask_whether_to_stop, hyperparameters, start
from ops.train_ec2 import check_free, read


def test_arguments_become_hyperparameters() -> None:
    assert hyperparameters(["--epochs", "40", "--learning-rate", "1e-3"]) == {"epochs": "40", "learning-rate": "1e-3"}
    assert hyperparameters([]) == {}


@pytest.mark.parametrize("arguments", [["--epochs"], ["epochs", "40"], ["--epochs", "40", "--seed"]])
def test_arguments_that_are_no_pairs_are_refused(arguments: list[str]) -> None:
    with pytest.raises(ToolError, match="come as --name value pairs"):
        hyperparameters(arguments)


@pytest.mark.parametrize("text", ["0", "x", "-1", "21", "1.5"])
def test_a_number_of_instances_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("INSTANCES", text)
    with pytest.raises(ToolError, match=f"INSTANCES is a whole number from 1 to 20, not '{text}'"):
        start({"training_instance_type": "ml.m5.xlarge"}, "dogs", Path("source.tar.gz"), {})


@pytest.mark.parametrize("name", ["test", "data", "model-dir"])
def test_where_things_lie_is_not_for_arguments_to_say(name: str) -> None:
    with pytest.raises(ToolError, match=f"leave --{name} out"):
        hyperparameters([f"--{name}", "none"])


def test_what_the_environment_says_gives_way_to_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPOCHS", "3")
    monkeypatch.setenv("BACKBONE", "")
    assert hyperparameters([]) == {"epochs": "3"}
    assert hyperparameters(["--epochs", "40"]) == {"epochs": "40"}


def test_whoever_cannot_answer_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert not ask_whether_to_stop("Training job run-a")


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("ResourceLimitExceeded", "Service Quotas"),
        ("ExpiredTokenException", "Log in again"),
        ("AccessDeniedException", "may not do that"),
    ],
)
def test_what_aws_refuses_comes_with_what_to_do(code: str, advice: str) -> None:
    def refused() -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "CreateTrainingJob")

    with pytest.raises(SystemExit, match=rf"AWS refused: .*{code}.*: no .*{advice}"):
        run(refused)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("InsufficientInstanceCapacity: We currently do not have sufficient capacity", "try another INSTANCE_TYPE"),
        ("VcpuLimitExceeded: You have requested more vCPU capacity than your current vCPU limit", "a smaller"),
        ("VPCIdNotSpecified: No default VPC for this user", "TF_VAR_subnet_id=<its id>"),
    ],
)
def test_an_instance_that_does_not_come_says_what_to_do(said: str, advice: str) -> None:
    assert advice in remedy(f"Error: creating EC2 Instance: operation error EC2: RunInstances, api error {said}")


def test_a_job_that_found_no_capacity_says_what_to_do() -> None:
    assert remedy("CapacityError: Unable to provision requested ML compute capacity.").endswith("or later.")
    assert remedy("AlgorithmError: The data are of the wrong kind., exit code: 1") == ""


@moto.mock_aws
def test_a_run_that_goes_on_shows_nothing_of_the_attempt_before() -> None:
    """Its old log would be printed, and as much left out of the new one; its old status would end the watching."""
    s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    s3.create_bucket(Bucket="artifacts")
    for key in ("runs/stopped/log.txt", "runs/stopped/status.json", "checkpoints/stopped/training/head"):
        s3.put_object(Bucket="artifacts", Key=key, Body=b"{}")
    check_free(s3, "artifacts", "stopped")
    assert read(s3, "artifacts", "runs/stopped/log.txt") == read(s3, "artifacts", "runs/stopped/status.json") == b""
    assert read(s3, "artifacts", "checkpoints/stopped/training/head") == b"{}"
    s3.put_object(Bucket="artifacts", Key="runs/done/log.txt", Body=b"{}")
    with pytest.raises(ToolError, match="There is a run done already"):
        check_free(s3, "artifacts", "done")
    assert read(s3, "artifacts", "runs/done/log.txt") == b"{}"

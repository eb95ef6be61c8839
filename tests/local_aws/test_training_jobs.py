"""Training jobs that really run, under the real toolkit. The jobs of this file run side by side: each takes 10 s."""

import io
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws import cloud
from tests.conftest import StandInUnderTest, wait_for

BUCKET = "training-tests"
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch:2.14-cpu-amzn2023-sagemaker"
SCRIPT = b"""
import argparse, os, sys, time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--mode")
mode = parser.parse_args().mode
files = sorted(path.name for path in Path(os.environ["SM_CHANNEL_TRAIN"]).rglob("*.txt"))
checkpoints = Path(os.environ["SM_MODEL_DIR"]).parent / "checkpoints"
print(f"files={','.join(files)} before={','.join(sorted(path.name for path in checkpoints.iterdir()))}", flush=True)
print("loss=0.5;", flush=True)
print("loss=0.25;", flush=True)
print("loss=1.2.3;", flush=True)
(checkpoints / "earlier.txt").unlink(missing_ok=True)
(checkpoints / "last.txt").write_text(mode)
Path(os.environ["SM_MODEL_DIR"], "weights.txt").write_text("weights")
Path(os.environ["SM_OUTPUT_DATA_DIR"], "plot.txt").write_text("plot")
if mode == "fail":
    Path(os.environ["SM_OUTPUT_DIR"], "failure").write_text("The data are of the wrong kind.")
    sys.exit(1)
if mode in ("hang", "overrun"):
    time.sleep(600)
(checkpoints / "starts.txt").open("a").write(f"{len(files)}\\n")
if mode == "spot" and (checkpoints / "starts.txt").read_text().count("\\n") == 1:
    time.sleep(600)
if mode == "half" and os.environ["RANK"] == "1":
    Path(os.environ["SM_OUTPUT_DIR"], "failure").write_text("This half of the data is lost.")
    sys.exit(1)
if mode == "half":
    time.sleep(600)
if mode == "pair":
    print(f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']} under {os.environ['SM_CURRENT_HOST']}", flush=True)
"""


@pytest.fixture(scope="module")
def prepared(stand_in: StandInUnderTest) -> Iterator[str]:
    """A bucket with data and source, and a role. Yields the role's ARN."""
    s3, iam = stand_in.client("s3"), stand_in.client("iam")
    s3.create_bucket(Bucket=BUCKET)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as source:
        member = tarfile.TarInfo("train.py")
        member.size = len(SCRIPT)
        source.addfile(member, io.BytesIO(SCRIPT))
    s3.put_object(Bucket=BUCKET, Key="source.tar.gz", Body=buffer.getvalue())
    s3.put_object(Bucket=BUCKET, Key="data/a/one.txt", Body=b"1")
    s3.put_object(Bucket=BUCKET, Key="data/b/two.txt", Body=b"2")
    s3.put_object(Bucket=BUCKET, Key="checkpoints/complete/earlier.txt", Body=b"0")
    yield iam.create_role(RoleName="training-tests", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    for item in s3.list_objects_v2(Bucket=BUCKET)["Contents"]:
        s3.delete_object(Bucket=BUCKET, Key=item["Key"])
    s3.delete_bucket(Bucket=BUCKET)
    iam.delete_role(RoleName="training-tests")


def request(role_arn: str, name: str, **changes: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "RoleArn": role_arn,
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": r"loss=([0-9.]+);"}],
        },
        "HyperParameters": {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": f"s3://{BUCKET}/source.tar.gz",
            "mode": name,
        },
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/data/"}},
            }
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/runs"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 120},
        "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/checkpoints/{name}/"},
        **changes,
    }


def log_of(stand_in: StandInUnderTest, name: str, host: str = "algo-1") -> str:
    logs, group = stand_in.client("logs"), "/aws/sagemaker/TrainingJobs"
    prefix = f"{name}/{host}-"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
    return "\n".join(event["message"] for event in events["events"])


@pytest.fixture(scope="module")
def jobs(stand_in: StandInUnderTest, prepared: str) -> dict[str, dict[str, Any]]:
    """The last description of a job that completes, one that fails and one that is stopped."""
    sagemaker = stand_in.client("sagemaker")
    names = ("complete", "fail", "hang", "overrun")
    for name in names:
        limit = {"MaxRuntimeInSeconds": 3 if name == "overrun" else 600}
        sagemaker.create_training_job(**request(prepared, name, StoppingCondition=limit))
    running = sagemaker.describe_training_job(TrainingJobName="hang")
    assert running["TrainingJobStatus"] == "InProgress"
    descriptions: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + 240
    is_stopping = False
    while len(descriptions) < len(names):
        assert time.monotonic() < deadline, descriptions
        for name in names:
            description = sagemaker.describe_training_job(TrainingJobName=name)
            if description["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"):
                descriptions[name] = description
        metrics = sagemaker.describe_training_job(TrainingJobName="hang").get("FinalMetricDataList")
        if metrics and not is_stopping:
            sagemaker.stop_training_job(TrainingJobName="hang")
            is_stopping = True
        time.sleep(0.1)
    return descriptions


def test_a_job_completes_with_its_model_output_metrics_and_log(
    stand_in: StandInUnderTest, jobs: dict[str, dict[str, Any]]
) -> None:
    job = jobs["complete"]
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed"
    assert [(item["MetricName"], item["Value"]) for item in job["FinalMetricDataList"]] == [("loss", 0.25)]
    statuses = [item["Status"] for item in job["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert job["TrainingStartTime"] < job["TrainingEndTime"]
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{BUCKET}/runs/complete/output/model.tar.gz"
    s3 = stand_in.client("s3")
    for archive, name, content in (("model", "weights.txt", b"weights"), ("output", "plot.txt", b"plot")):
        body = s3.get_object(Bucket=BUCKET, Key=f"runs/complete/output/{archive}.tar.gz")["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as tar:
            member = tar.extractfile(name)
            assert member is not None
            assert member.read() == content
    log = log_of(stand_in, "complete")
    assert "files=one.txt,two.txt before=earlier.txt" in log
    saved = s3.get_object(Bucket=BUCKET, Key="checkpoints/complete/last.txt")["Body"].read()
    assert saved == b"complete"
    kept = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="checkpoints/complete/")["Contents"]]
    assert kept == [
        f"checkpoints/complete/{name}.txt" for name in ("last", "starts")
    ]  # what the job deleted is deleted there, too


def test_all_that_a_job_does_is_its_roles(
    stand_in: StandInUnderTest, prepared: str, jobs: dict[str, dict[str, Any]]
) -> None:
    bucket = f"arn:aws:s3:::{BUCKET}"
    log = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/TrainingJobs:log-stream:complete/algo-1-"
    calls = {(call["action"], re.sub(r"-[0-9]+$", "-", call["resource"])) for call in stand_in.calls_of_role(prepared)}
    assert {
        ("s3:ListBucket", bucket),
        ("s3:GetObject", f"{bucket}/data/a/one.txt"),
        ("s3:GetObject", f"{bucket}/source.tar.gz"),
        ("s3:GetObject", f"{bucket}/checkpoints/complete/earlier.txt"),
        ("s3:PutObject", f"{bucket}/checkpoints/complete/last.txt"),
        ("s3:DeleteObject", f"{bucket}/checkpoints/complete/earlier.txt"),
        ("s3:PutObject", f"{bucket}/runs/complete/output/model.tar.gz"),
        ("s3:PutObject", f"{bucket}/runs/complete/output/output.tar.gz"),
        ("logs:CreateLogStream", log),
        ("logs:PutLogEvents", log),
        ("cloudwatch:PutMetricData", "*"),
    } <= calls
    services = {action.split(":")[0] for action, _ in calls}
    assert services == {"cloudwatch", "logs", "s3"}


def test_a_job_that_fails_tells_the_scripts_own_reason(jobs: dict[str, dict[str, Any]]) -> None:
    job = jobs["fail"]
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: The data are of the wrong kind., exit code: 1"
    assert [item["Value"] for item in job["FinalMetricDataList"]] == [0.25]


def ended(stand_in: StandInUnderTest, name: str) -> dict[str, Any]:
    """The job's description once it has ended."""
    wait_for(lambda: status_of(stand_in, name) not in ("InProgress", "Stopping"), 120)
    return dict(stand_in.client("sagemaker").describe_training_job(TrainingJobName=name))


def status_of(stand_in: StandInUnderTest, name: str) -> str:
    return str(stand_in.client("sagemaker").describe_training_job(TrainingJobName=name)["TrainingJobStatus"])


def test_a_spot_job_goes_on_from_its_checkpoints_when_it_was_interrupted(
    stand_in: StandInUnderTest, prepared: str
) -> None:
    """Whoever kills the toolkit's program is the end of the instance."""
    stand_in.client("sagemaker").create_training_job(**request(prepared, "spot", EnableManagedSpotTraining=True))

    def saved() -> bool:
        listed = stand_in.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="checkpoints/spot/starts")
        return bool(listed["KeyCount"])

    wait_for(saved)
    (train,) = [
        process
        for process in stand_in.home.processes()
        if "/spot/" in process.cwd() and Path(process.cmdline()[-1]).name == "train"
    ]
    train.kill()
    job = ended(stand_in, "spot")
    assert job["TrainingJobStatus"] == "Completed", job
    statuses = [item["Status"] for item in job["SecondaryStatusTransitions"]]
    first = ["Starting", "Downloading", "Training", "Interrupted"]
    assert statuses == [*first, *first[:3], "Uploading", "Completed"]
    body = stand_in.client("s3").get_object(Bucket=BUCKET, Key="checkpoints/spot/starts.txt")["Body"].read()
    assert body == b"2\n2\n"


TWO_HOSTS = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 1}


def distributed(role_arn: str, name: str) -> dict[str, Any]:
    changed = request(role_arn, name, ResourceConfig=TWO_HOSTS)
    changed["HyperParameters"] |= {
        "sagemaker_torch_distributed_enabled": "true",
        "sagemaker_distribution_instance_groups": '["homogeneousCluster"]',
    }
    return changed


@pytest.mark.full
def test_each_instance_is_a_host_of_its_own(stand_in: StandInUnderTest, prepared: str) -> None:
    stand_in.client("sagemaker").create_training_job(**distributed(prepared, "pair"))
    wait_for(lambda: any("torchrun" in " ".join(process.cmdline()) for process in stand_in.home.processes()))
    addresses = set()
    while status_of(stand_in, "pair") == "InProgress":
        addresses |= stand_in.listening_addresses()
    assert all(address.startswith("127.") or address == "::1" for address in addresses), addresses
    assert ended(stand_in, "pair")["TrainingJobStatus"] == "Completed"
    for rank in (0, 1):
        assert f"rank {rank} of 2 under 127.0.0.{rank + 1}" in log_of(stand_in, "pair", f"algo-{rank + 1}")


@pytest.mark.full
def test_one_host_that_fails_ends_the_job_with_its_reason(
    stand_in: StandInUnderTest, prepared: str, record_property: Callable[[str, object], None]
) -> None:
    stand_in.client("sagemaker").create_training_job(**distributed(prepared, "half"))
    job = ended(stand_in, "half")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: algo-2: This half of the data is lost., exit code: 1"
    seconds = (job["TrainingEndTime"] - job["TrainingStartTime"]).total_seconds()
    assert seconds < 60
    record_property("a failed host", f"the job of two ended {seconds:.0f} s after its start")


def test_a_job_that_takes_too_long_is_stopped(jobs: dict[str, dict[str, Any]]) -> None:
    job = jobs["overrun"]
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_an_object_that_points_out_of_its_channel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "list_objects", lambda s3, uri: [{"Key": "data/../../evil"}])
    with pytest.raises(cloud.ServiceError, match="points outside its channel"):
        cloud.download_prefix(None, "s3://bucket/data/", tmp_path / "channel", lambda bucket, key: None)
    assert list(tmp_path.rglob("evil")) == []


def test_a_job_that_is_stopped_keeps_what_it_had(stand_in: StandInUnderTest, jobs: dict[str, dict[str, Any]]) -> None:
    job = jobs["hang"]
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped"
    assert [process for process in stand_in.home.processes() if "train.py" in process.cmdline()] == []
    saved = stand_in.client("s3").get_object(Bucket=BUCKET, Key="checkpoints/hang/last.txt")["Body"].read()
    assert saved == b"hang"
    with pytest.raises(ClientError, match="in status Stopped"):
        stand_in.client("sagemaker").stop_training_job(TrainingJobName="hang")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TrainingJobName": "complete"}, "already exists"),
        ({"TrainingJobName": "../../precious"}, "failed to satisfy constraint"),
        ({"InputDataConfig": [{"ChannelName": "../..", "DataSource": {}}]}, "failed to satisfy constraint"),
        (
            {
                "AlgorithmSpecification": {
                    "TrainingImage": IMAGE,
                    "TrainingInputMode": "File",
                    "MetricDefinitions": [{"Name": "loss", "Regex": "loss=("}],
                }
            },
            "needs a group",
        ),
        ({"RoleArn": "arn:aws:iam::123456789012:role/nobody"}, "Please ensure that the role exists"),
        (
            {"AlgorithmSpecification": {"TrainingImage": "docker.io/evil/image:1", "TrainingInputMode": "File"}},
            "cannot run docker.io/evil/image:1",
        ),
        (
            {
                "AlgorithmSpecification": {
                    "TrainingImage": IMAGE,
                    "TrainingInputMode": "File",
                    "ContainerEntrypoint": ["/bin/sh"],
                }
            },
            "leave ContainerEntrypoint out",
        ),
        (
            {"ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 5, "VolumeSizeInGB": 1}},
            "5 were asked for",
        ),
        (
            {
                "InputDataConfig": [
                    {
                        "ChannelName": "train",
                        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/nothing/"}},
                    }
                ]
            },
            "No S3 objects found",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(
    stand_in: StandInUnderTest,
    prepared: str,
    jobs: dict[str, dict[str, Any]],
    changes: dict[str, Any],
    message: str,
) -> None:
    sagemaker = stand_in.client("sagemaker")
    before = len(sagemaker.list_training_jobs()["TrainingJobSummaries"])
    with pytest.raises(ClientError, match=message):
        sagemaker.create_training_job(**request(prepared, "refused", **changes))
    assert len(sagemaker.list_training_jobs()["TrainingJobSummaries"]) == before

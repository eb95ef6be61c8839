"""The script of a training instance: rendered by Terraform, and run by the stand-in as the instance would."""

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_aws.home import REPOSITORY
from tests.conftest import StandInUnderTest, wait_for

pytestmark = pytest.mark.xdist_group("user_data")  # its instances run once, side by side
TEMPLATE = REPOSITORY / "ec2_bootstrap" / "user_data.sh.tftpl"
BUCKET = "instance-tests"
SCRIPT = b"""
import os, sys, time
from pathlib import Path

print(f"arguments={sys.argv[1:]}", flush=True)
checkpoints = Path(os.environ["SM_MODEL_DIR"]).parent / "checkpoints"
(checkpoints / "last.txt").write_text("saved")
if sys.argv[1] == "fails":
    Path(os.environ["SM_OUTPUT_DIR"], "failure").write_text('The "data" are of the wrong kind.')
    sys.exit(1)
if sys.argv[1] == "hangs":
    time.sleep(600)
files = sorted(path.name for path in Path(os.environ["SM_CHANNEL_TRAIN"]).iterdir())
Path(os.environ["SM_MODEL_DIR"], "weights.txt").write_text(f"{files} {os.environ['SM_TRAINING_ENV']}")
Path(os.environ["SM_OUTPUT_DATA_DIR"], "plot.txt").write_text("plot")
"""


def rendered(tmp_path: Path, **values: Any) -> str:
    """The script as Terraform's own function renders it."""
    given = {
        "run_id": "run-a",
        "region": "us-east-1",
        "data_bucket": BUCKET,
        "artifacts_bucket": BUCKET,
        "dataset": "dogs",
        "source_sha256": "0" * 64,
        "arguments": [],
        "max_seconds": 3600,
        **values,
    }
    expression = f'base64encode(templatefile("{TEMPLATE}", jsondecode({json.dumps(json.dumps(given))})))\n'
    done = subprocess.run(
        ["terraform", "console"],
        input=expression,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    return base64.b64decode(done.stdout.strip().strip('"')).decode()


def test_the_script_is_clean_and_small(tmp_path: Path) -> None:
    script = rendered(tmp_path, arguments=["--epochs", "3", "", "$(reboot) 'quoted'\n"])
    (tmp_path / "user-data").write_text(script)
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, tmp_path / "user-data"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert len(script.encode()) < 7 * 1024
    assert "reboot" not in script


def test_it_sets_every_name_that_the_training_reads() -> None:
    sources = "".join(path.read_text() for path in (REPOSITORY / "training").glob("*.py"))
    read = set(re.findall(r"SM_(?:MODEL|OUTPUT|TRAINING)[A-Z_]*", sources))
    read |= {f"SM_CHANNEL_{name}" for name in ("TRAIN", "VALID", "TEST", "WEIGHTS")}
    assert set(re.findall(r"(SM_[A-Z_]+)=", TEMPLATE.read_text())) == read


@pytest.fixture(scope="module")
def ends(stand_in: StandInUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Three instances side by side. Yields their instance ids by what they do: works, fails, hangs."""
    s3, iam, ec2 = (stand_in.client(name) for name in ("s3", "iam", "ec2"))
    s3.create_bucket(Bucket=BUCKET)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as source:
        for name, content in (("train.py", SCRIPT), ("requirements.txt", b"")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            source.addfile(member, io.BytesIO(content))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    s3.put_object(Bucket=BUCKET, Key=f"source/{digest}.tar.gz", Body=buffer.getvalue())
    s3.put_object(Bucket=BUCKET, Key="datasets/dogs/train/one.txt", Body=b"1")
    iam.create_role(RoleName=BUCKET, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName=BUCKET)
    iam.add_role_to_instance_profile(InstanceProfileName=BUCKET, RoleName=BUCKET)
    image = ec2.describe_images()["Images"][0]["ImageId"]
    started = {}
    for what in ("works", "fails", "hangs"):
        user_data = rendered(
            tmp_path_factory.mktemp(what),
            run_id=what,
            source_sha256=digest,
            arguments=[what, "$(reboot)", ""],
            max_seconds=4 if what == "hangs" else 600,
        )
        instances = ec2.run_instances(
            ImageId=image, MinCount=1, MaxCount=1, UserData=user_data, IamInstanceProfile={"Name": BUCKET}
        )
        started[what] = instances["Instances"][0]["InstanceId"]

    def are_gone() -> bool:
        described = ec2.describe_instances(InstanceIds=list(started.values()))["Reservations"]
        return all(one["Instances"][0]["State"]["Name"] == "terminated" for one in described)

    wait_for(are_gone, 120)
    yield started
    for item in s3.list_objects_v2(Bucket=BUCKET)["Contents"]:
        s3.delete_object(Bucket=BUCKET, Key=item["Key"])
    s3.delete_bucket(Bucket=BUCKET)
    iam.remove_role_from_instance_profile(InstanceProfileName=BUCKET, RoleName=BUCKET)
    iam.delete_instance_profile(InstanceProfileName=BUCKET)
    iam.delete_role(RoleName=BUCKET)


def left_by(stand_in: StandInUnderTest, run_id: str) -> dict[str, bytes]:
    """The objects that a run left, by their names below runs/<run id>/."""
    s3, prefix = stand_in.client("s3"), f"runs/{run_id}/"
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]]
    return {key.removeprefix(prefix): s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


def test_a_run_that_works_leaves_model_output_log_and_status(stand_in: StandInUnderTest, ends: dict[str, Any]) -> None:
    left = left_by(stand_in, "works")
    assert sorted(left) == ["log.txt", "output/model.tar.gz", "output/output.tar.gz", "status.json"]
    assert json.loads(left["status.json"]) == {"status": "completed", "exit_status": "0", "reason": ""}
    assert b"arguments=['works', '$(reboot)', '']" in left["log.txt"]
    with tarfile.open(fileobj=io.BytesIO(left["output/model.tar.gz"])) as tar:
        member = tar.extractfile("weights.txt")
        assert member is not None
        assert member.read() == b"""['one.txt'] {"job_name": "works"}"""


def test_a_run_that_fails_leaves_its_own_reason(stand_in: StandInUnderTest, ends: dict[str, Any]) -> None:
    left = left_by(stand_in, "fails")
    reason = 'The "data" are of the wrong kind.'
    assert json.loads(left["status.json"]) == {"status": "failed", "exit_status": "1", "reason": reason}
    assert sorted(left) == ["log.txt", "status.json"]


def test_a_run_that_takes_too_long_is_ended_and_keeps_its_checkpoints(
    stand_in: StandInUnderTest, ends: dict[str, Any]
) -> None:
    status = json.loads(left_by(stand_in, "hangs")["status.json"])
    assert status == {
        "status": "timed-out",
        "exit_status": "124",
        "reason": "The run took longer than its 4 seconds.",
    }
    saved = stand_in.client("s3").get_object(Bucket=BUCKET, Key="checkpoints/hangs/last.txt")["Body"].read()
    assert saved == b"saved"

"""`make train-ec2` on the stand-in: the instance comes, trains by its user-data, and goes. `make verify` runs it."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_aws.drawn_breeds import draw_breeds
from local_aws.environment import ACCOUNT_ID
from local_aws.home import REPOSITORY
from local_aws.leftovers import leftovers
from tests.conftest import wait_for
from tests.end_to_end.journey import DATASET, Journey
from tests.iam.not_less import recorded, refused
from tests.iam.policies import in_account

pytestmark = [pytest.mark.full, pytest.mark.timeout(1500), pytest.mark.xdist_group("train_ec2")]
ARTIFACTS = f"dogbreed-local-artifacts-{ACCOUNT_ID}"
DRAWN = "--epochs 4 --calibration-images 16 --checkpoint-seconds 0"
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    path = Journey(tmp_path_factory.mktemp("ec2"))
    draw_breeds(path.data)
    path.succeed("up")
    path.succeed("infra")
    assert path.refuse("train-ec2").startswith(f"The data bucket holds no datasets/{DATASET}/train/: run `make data ")
    path.succeed("data", f"DATA={path.data}")
    yield path
    path.make("down")
    path.home.kill_processes()
    shutil.rmtree(REPOSITORY / "build" / "datasets" / DATASET, ignore_errors=True)


def running(path: Journey) -> list[str]:
    """The instances that are not terminated."""
    found = path.client("ec2").describe_instances()["Reservations"]
    states = {one["InstanceId"]: one["State"]["Name"] for item in found for one in item["Instances"]}
    return [name for name, state in states.items() if state != "terminated"]


def status_of(path: Journey, run_id: str) -> dict[str, str]:
    body = path.client("s3").get_object(Bucket=ARTIFACTS, Key=f"runs/{run_id}/status.json")["Body"].read()
    return dict(json.loads(body))


def weights(path: Journey, run_id: str) -> str:
    """SHA-256 of a run's model.safetensors."""
    body = path.client("s3").get_object(Bucket=ARTIFACTS, Key=f"runs/{run_id}/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        content = tar.extractfile("model.safetensors")
        assert content is not None
        return hashlib.sha256(content.read()).hexdigest()


def test_sagemaker_an_instance_and_a_plain_process_end_in_the_same_weights(
    path: Journey, tmp_path: Path, record_property: Record
) -> None:
    before = leftovers(path.url)
    said = path.succeed("train-ec2", "RUN=on-ec2", f"ARGS={DRAWN}")
    assert "epoch=4 " in said
    assert "Run on-ec2 completed: `make deploy RUN=on-ec2` serves its model." in said
    assert status_of(path, "on-ec2")["status"] == "completed"
    assert leftovers(path.url) == before
    job = re.search(r"Training job (\S+) started", path.succeed("train-sagemaker", f"ARGS={DRAWN}"))
    assert job
    folders = {"--data": path.data, "--model-dir": tmp_path / "model", "--output-dir": tmp_path / "output"}
    places = [str(word) for pair in folders.items() for word in pair]
    plain = [sys.executable, "-m", "training.train", *places, *DRAWN.split()]
    subprocess.run(plain, cwd=REPOSITORY, check=True, capture_output=True)
    by_hand = hashlib.sha256((tmp_path / "model" / "model.safetensors").read_bytes()).hexdigest()
    assert weights(path, "on-ec2") == weights(path, job[1]) == by_hand
    assert "Run on-ec2 is in service" in path.succeed("deploy", "RUN=on-ec2")
    record_property("one model, three ways", f"SHA-256 of the weights {by_hand}")
    taken = "There is a run on-ec2 already: choose another RUN, or leave it out."
    assert path.refuse("train-ec2", "RUN=on-ec2") == taken


def test_the_run_called_nothing_that_its_role_may_not(path: Journey, tmp_path: Path) -> None:
    """Its role is gone with it, so the run is looked at while it trains."""
    process, log = begin(path, tmp_path, "RUN=watched", f"ARGS={DRAWN}")
    wait_for(lambda: "epoch=1 " in log.read_text() or process.poll() is not None, 180)
    account = in_account(path.client)
    assert process.wait(180) == 0, log.read_text()
    calls = {call for call in recorded(path.calls()) if call.principal == "dogbreed-local-ec2-watched"}
    assert {call.action for call in calls} >= {"s3:GetObject", "s3:ListBucket", "s3:PutObject"}
    assert refused(calls, account) == []


def test_a_training_that_fails_leaves_log_and_status_and_no_instance(path: Journey) -> None:
    failed = path.make("train-ec2", "RUN=failing", "EPOCHS=0")
    assert failed.returncode != 0
    reason = "The arguments are wrong: argument --epochs: 0 is not above zero and finite."
    assert f"Run failing ended as failed (1): {reason}" in failed.stderr
    assert status_of(path, "failing") == {"status": "failed", "exit_status": "1", "reason": reason}
    assert path.client("s3").head_object(Bucket=ARTIFACTS, Key="runs/failing/log.txt")["ContentLength"] > 0
    assert running(path) == []


def test_a_deadline_that_passes_leaves_the_same(path: Journey) -> None:
    """And the same run id goes on from its checkpoints."""
    late = path.make("train-ec2", "RUN=late", "MAX_SECONDS=12", "ARGS=--epochs 3 --fine-tune-epochs 200")
    assert late.returncode != 0
    assert "Run late ended as timed-out (124): The run took longer than its 12 seconds." in late.stderr
    assert status_of(path, "late")["status"] == "timed-out"
    assert running(path) == []


def begin(path: Journey, folder: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
    """`make train-ec2`, running, as a terminal would run it; and its output."""
    command = ["make", "--no-print-directory", f"DATASET={DATASET}", "COMMIT=0000000", "train-ec2", *arguments]
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=path.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return process, log


def test_ctrl_c_takes_the_instance_away_and_the_run_can_go_on(path: Journey, tmp_path: Path) -> None:
    process, log = begin(path, tmp_path, "RUN=stopped", f"ARGS={DRAWN} --fine-tune-epochs 3")
    wait_for(lambda: "epoch=4 " in log.read_text() or process.poll() is not None, 180)
    assert running(path)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(180) != 0
    assert "The instance of run stopped is gone." in log.read_text()
    assert "Stopped. RUN=stopped goes on from its last checkpoint." in log.read_text()
    assert running(path) == []
    assert status_of(path, "stopped")["status"] == "interrupted"
    said = path.succeed("train-ec2", "RUN=stopped", f"ARGS={DRAWN} --fine-tune-epochs 3")
    assert "goes on from its checkpoint" in said


def test_a_launcher_that_was_killed_is_cleaned_up_after(path: Journey, tmp_path: Path) -> None:
    process, log = begin(path, tmp_path, "RUN=orphan", "ARGS=--epochs 3 --fine-tune-epochs 200")
    wait_for(lambda: "started on an instance" in log.read_text() or process.poll() is not None, 180)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    assert running(path)
    assert "Nothing is left of the instance of run orphan." in path.succeed("end-ec2", "RUN=orphan")
    assert running(path) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["RUN=Not_A_Run"], "'Not_A_Run' is no run id: RUN=<small letters, digits and dashes, 40 at most>."),
        (["MAX_SECONDS=0"], "MAX_SECONDS is a whole number from 1 to 604800, not '0'."),
        (["MAX_SECONDS=x"], "MAX_SECONDS is a whole number from 1 to 604800, not 'x'."),
        (["INSTANCE_TYPE=ml.m5.large"], "EC2 has no instance type 'ml.m5.large': take one such as m5.xlarge."),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(path: Journey, arguments: list[str], said: str) -> None:
    assert path.refuse("train-ec2", *arguments) == said

"""The second day, by the commands that a user types: releases, a way back, off and on. `make verify` runs it."""

import json
import re
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inference.artifact import MANIFEST_NAME, parse_manifest, seal
from local_aws.environment import ACCOUNT_ID
from local_aws.home import REPOSITORY
from local_aws.leftovers import leftovers
from ops.outputs import ToolError
from ops.predict import predict
from ops.smoke import photograph
from tests.end_to_end.journey import ENDPOINT, NO_CHANGES, Journey, with_drawn_dogs

pytestmark = [pytest.mark.full, pytest.mark.timeout(1500), pytest.mark.xdist_group("releases")]
ARTIFACTS = f"dogbreed-local-artifacts-{ACCOUNT_ID}"
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    with with_drawn_dogs(tmp_path_factory.mktemp("releases")) as path:
        yield path


def train(path: Journey, seed: int) -> str:
    said = path.succeed("train-sagemaker", f"ARGS=--epochs 4 --calibration-images 16 --seed {seed}")
    completed = re.search(r"Training job (\S+) completed", said)
    assert completed
    return completed[1]


def fault(path: Journey, name: str) -> None:
    command = [sys.executable, "-m", "local_aws", "fault", name]
    subprocess.run(command, cwd=REPOSITORY, env=path.environment, check=True, stdout=subprocess.DEVNULL)


def calm(path: Journey) -> None:
    """What CloudWatch does by itself, once the cause is gone."""
    cloudwatch = path.client("cloudwatch")
    for alarm in cloudwatch.describe_alarms(StateValue="ALARM")["MetricAlarms"]:
        cloudwatch.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue="OK", StateReason="Quiet again.")


def fail(path: Journey, *arguments: str) -> str:
    """What a target says at its end that does not succeed, Terraform's own words before it."""
    done = path.make(*arguments)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return next(line for line in reversed(done.stderr.splitlines()) if not line.startswith("make: "))


def on_the_list(path: Journey) -> list[str]:
    return [entry.split("@")[0] for entry in path.releases().split(",")]


def in_service(path: Journey) -> list[str]:
    """The runs of which `make releases` says so."""
    lines = path.succeed("releases").splitlines()
    return [line.split()[0] for line in lines if line.endswith("in service, 1 instance")]


def put_broken(path: Journey, folder: Path, run_id: str, *, sealed: bool) -> None:
    """A run whose graph is no graph; with `sealed` its hashes are right all the same."""
    (newest,) = on_the_list(path)[:1]
    s3 = path.client("s3")
    s3.download_file(ARTIFACTS, f"runs/{newest}/output/model.tar.gz", str(folder / "good.tar.gz"))
    with tarfile.open(folder / "good.tar.gz") as tar:
        tar.extractall(folder / run_id, filter="data")
    (folder / run_id / "graph.xml").write_text("<net/>")
    if sealed:
        seal(folder / run_id, parse_manifest((folder / run_id / MANIFEST_NAME).read_bytes()))
    with tarfile.open(folder / f"{run_id}.tar.gz", "w:gz") as broken:
        broken.add(folder / run_id, ".")
    s3.upload_file(str(folder / f"{run_id}.tar.gz"), ARTIFACTS, f"runs/{run_id}/output/model.tar.gz")


@contextmanager
def calling(path: Journey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """A client that asks the function again and again; counts what it got: the run that answered, or the refusal."""
    outputs = json.loads((path.home.path / "environment" / "outputs.json").read_text())
    values = {name: output["value"] for name, output in outputs.items()}
    functions, answers, stop = path.client("lambda"), Counter[str](), threading.Event()
    monkeypatch.setattr("ops.predict.boto3.client", lambda service, region_name: functions)

    def call() -> None:
        while not stop.is_set():
            try:
                answers[predict(values, photograph())["model"]["run_id"]] += 1
            except ToolError as error:
                answers[str(error)] += 1

    caller = threading.Thread(target=call)
    caller.start()
    try:
        yield answers
    finally:
        stop.set()
        caller.join()


def test_the_second_day(
    path: Journey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    assert path.refuse("releases") == "Nothing was deployed yet: run `make deploy`."
    first, second = train(path, 1), train(path, 2)

    fault(path, "never-ready")
    refused = fail(path, "deploy")
    assert "was not deployed, and the release list is as it was: the apply failed; the endpoint did not come" in refused
    assert path.releases() == "none"

    assert f"Run {first} is in service" in path.succeed("deploy", f"RUN={first}")
    assert path.refuse("rollback").startswith("There is no release before this one")
    said = path.succeed("deploy")
    assert f"Run {second} is in service at endpoint {ENDPOINT}, and the function answers." in said
    assert re.search(r"^  ~ sagemaker_endpoint: dogbreed-local \(endpoint_config_name\)$", said, flags=re.MULTILINE)
    assert on_the_list(path) == [second, first]
    assert in_service(path) == [second]

    before = path.releases()
    for run_id, sealed in (("tampered", False), ("no-graph", True)):
        put_broken(path, tmp_path, run_id, sealed=sealed)
        refused = path.refuse("deploy", f"RUN={run_id}")
        record_property(f"a broken artifact ({run_id})", refused)
        assert refused.startswith(f"The model of run {run_id} cannot be deployed: ")
        assert path.releases() == before

    with calling(path, monkeypatch) as answers:
        fault(path, "silent-rollback")
        refused = fail(path, "deploy", f"RUN={first}")
        record_property("a silent rollback", refused)
        assert f"the endpoint runs {ENDPOINT}-{second}-" in refused
        assert f"the alarm {ENDPOINT}-rollback-" in refused
        assert path.releases() == before
        assert in_service(path) == [second]

        refused = path.refuse("rollback")
        record_property("while the alarm fires", refused)
        assert refused.startswith(f"Nothing was changed: while the alarm {ENDPOINT}-rollback-")
        calm(path)

        fault(path, "never-ready")
        assert "did not pass the ping health check" in fail(path, "deploy", f"RUN={first}")
        assert path.releases() == before

        assert f"Run {first} is in service" in path.succeed("rollback")
        assert on_the_list(path) == [first, second]
        assert in_service(path) == [first]
        assert f"Run {second} is in service" in path.succeed("rollback", f"RUN={second}")
    record_property("answers to a client that called throughout", dict(answers))
    assert set(answers) == {first, second}
    assert min(answers.values()) > 10
    assert NO_CHANGES in path.succeed("plan")

    said = path.succeed("cost")
    assert re.search(r"^USD a month, idle +seed +local$", said, flags=re.MULTILINE)
    assert re.search(r"^  endpoint +83\.95 +78\.11$", said, flags=re.MULTILINE)  # 730 hours of prices.json's

    path.scale(3)
    assert f"The endpoint {ENDPOINT} is off." in path.succeed("stop")
    assert path.client("sagemaker").list_endpoints()["Endpoints"] == []
    assert "The endpoint is off" in path.succeed("releases")
    unanswered = path.make("load-test", "USERS=1", "SECONDS=1")
    assert unanswered.returncode != 0
    assert "Nobody got an answer" in unanswered.stderr
    assert f"The endpoint {ENDPOINT} is on." in path.succeed("start")
    assert path.instances() == 3
    assert "in service, 3 instances" in path.succeed("releases")
    assert NO_CHANGES in path.succeed("plan")

    path.environment["TF_VAR_endpoint_instance_type"] = "ml.c7i.xlarge"
    said = path.succeed("infra")
    assert re.search(r"Resources: 4 added, 2 changed, 4 destroyed", said)
    assert NO_CHANGES in path.succeed("plan")

    assert path.refuse("destroy") == "Nothing was destroyed."
    assert path.instances() == 3
    said = path.succeed("destroy", "CONFIRM=yes")
    assert "  - sagemaker_endpoint: dogbreed-local" in said
    assert "Nothing is left over that bears its tags." in said
    assert leftovers(path.url) == []

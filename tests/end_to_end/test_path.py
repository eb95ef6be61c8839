"""The whole path, by the commands that a user types, on a stand-in of its own and a few drawn dogs."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from local_aws.drawn_breeds import draw_breeds
from local_aws.environment import client_environment
from local_aws.home import REPOSITORY
from local_aws.leftovers import leftovers
from tests.conftest import running_provider
from tests.end_to_end.journey import DATASET, NO_CHANGES, Journey
from tests.iam.not_less import never_called, only_on_aws, recorded, refused
from tests.iam.policies import in_account

pytestmark = [pytest.mark.xdist_group("end_to_end"), pytest.mark.timeout(900)]
BREEDS = ("drawn_cloud_puff", "drawn_ember_fox", "drawn_ink_longear")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    folder = tmp_path_factory.mktemp("path")
    path = Journey(folder)
    draw_breeds(folder / "all")
    for split in ("train", "valid", "test"):
        for breed in BREEDS:
            shutil.copytree(folder / "all" / split / breed, path.data / split / breed)
    yield path
    path.make("down")
    path.home.kill_processes()
    shutil.rmtree(REPOSITORY / "build" / "datasets" / DATASET, ignore_errors=True)
    (REPOSITORY / "build" / "datasets" / f"{DATASET}.json").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def provisioned(path: Journey) -> Iterator[Journey]:
    """Up and infra, with what is refused before each of them. All that follows finds the provider running."""
    assert path.refuse("infra") == "The stand-in is not up: run `make up` first."
    path.succeed("up")
    assert path.refuse("train-sagemaker") == "Nothing is provisioned yet: run `make infra` first."
    path.succeed("infra")
    data, log = path.home.path / "environment" / "terraform", path.data.with_name("provider.log")
    with running_provider(data, client_environment(path.url), log) as providers:
        path.environment["TF_REATTACH_PROVIDERS"] = providers
        assert NO_CHANGES in path.succeed("plan")
        yield path


@pytest.fixture(scope="module")
def trained(provisioned: Journey) -> tuple[Journey, str]:
    """(the path, the run id) once a model was trained on the data that were uploaded."""
    path = provisioned
    refused = path.refuse("train-sagemaker")
    remedy = f"run `make data DATA=<folder> DATASET={DATASET}` first."
    assert refused == f"The data bucket holds no datasets/{DATASET}/train/: {remedy}"
    assert path.refuse("deploy") == "No trained model is there yet: run `make train-sagemaker` first."
    said = path.succeed("data", f"DATA={path.data}")
    assert "3 classes: 72 train, 18 valid, 18 test images." in said
    said = path.succeed("train-sagemaker", "ARGS=--epochs 5 --calibration-images 0")
    completed = re.search(r"Training job (\S+) completed: (.*)\.$", said, flags=re.MULTILINE)
    assert completed
    assert len(re.findall(r"(train:loss|valid:loss|valid:top1|test:top1|test:top5) [0-9.]+", completed[2])) == 5
    assert len(re.findall(r"^epoch=\d+ ", said, flags=re.MULTILINE)) == 5
    return path, completed[1]


@pytest.fixture(scope="module")
def deployed(trained: tuple[Journey, str]) -> Journey:
    path, run_id = trained
    photograph = next((path.data / "test" / BREEDS[0]).iterdir())
    refused = path.refuse("predict", f"IMAGE={photograph}")
    remedy = "run `make deploy`, or `make start` where it was stopped."
    assert refused == f"503 from the function: No model is deployed. Remedy: {remedy}"
    assert f"Run {run_id} is in service" in path.succeed("deploy")
    return path


def test_the_doctor_has_no_complaint_and_says_what_only_aws_has(provisioned: Journey) -> None:
    said = provisioned.succeed("doctor")
    statuses: dict[str, list[str]] = {}
    for status, name in re.findall(r"^(ok|problem|not asked) +([a-z ]+): ", said, flags=re.MULTILINE):
        statuses.setdefault(status, []).append(name)
    quotas = ["training quota", "endpoint quota", "function quota"]
    assert statuses == {
        "ok": ["tools", "credentials", "region", "buckets"],
        "not asked": ["clock", "serving image", *quotas],
    }


def test_the_audit_finds_what_was_planted_and_of_our_own_nothing(provisioned: Journey) -> None:
    trust = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}}
    iam = provisioned.client("iam")
    iam.create_role(RoleName="dogbreed-local-planted", AssumeRolePolicyDocument=json.dumps(trust))
    try:
        audit = provisioned.make("audit")
    finally:
        iam.delete_role(RoleName="dogbreed-local-planted")
    assert audit.stdout.splitlines() == [
        "role dogbreed-local-planted  can be taken by everyone; name in its trust policy who may.",
        "Not asked: IAM Access Analyzer; the stand-in has none.",
        "Findings: 1. Looked at: roles 6, buckets 3, functions 1, notebooks 1, security groups 0.",
    ]
    assert "audit] Error 2" in audit.stderr


def test_the_breed_on_a_photograph_is_told(deployed: Journey) -> None:
    for breed in BREEDS:
        photograph = next((deployed.data / "test" / breed).iterdir())
        answer = deployed.home.path / "answer.json"
        said = deployed.succeed("predict", f"IMAGE={photograph}", f"JSON={answer}")
        top = json.loads(answer.read_text())["predictions"]
        assert top[0]["label"] == breed
        assert sum(item["probability"] for item in top) == pytest.approx(1)
        assert re.search(rf"^{breed} +[0-9.]+%", said, flags=re.MULTILINE)


def test_logits_are_the_bare_scores_one_per_class(deployed: Journey) -> None:
    photograph = next((deployed.data / "test" / BREEDS[1]).iterdir()).read_bytes()
    functions = deployed.client("lambda")
    event = {"image_base64": base64.b64encode(photograph).decode(), "output": "logits"}
    response = functions.invoke(FunctionName="dogbreed-local-predict", Qualifier="live", Payload=json.dumps(event))
    answer = json.loads(response["Payload"].read())
    (scores,) = json.loads(answer["body"])
    assert answer["statusCode"] == 200
    assert len(scores) == len(BREEDS)
    assert scores.index(max(scores)) == BREEDS.index("drawn_ember_fox")


def test_the_function_holds_a_load(deployed: Journey) -> None:
    said = deployed.succeed("load-test", "USERS=2", "SECONDS=2", "RATE=10")
    assert re.search(r"requests a second; answered: [0-9]+ with 200; p50 [0-9]+ ms", said)
    assert deployed.refuse("load-test", "USERS=0") == "USERS is a whole number above 0 and at most 500, not '0'."


def test_the_page_is_served_and_its_questions_are_signed(deployed: Journey) -> None:
    """Nobody else's are answered."""
    outputs = json.loads((deployed.home.path / "environment" / "outputs.json").read_text())
    assert urllib3.request("GET", outputs["function_url"]["value"]).status == 403
    command = ["make", "--no-print-directory", "page", "PORT=0"]
    environment = deployed.environment
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as proxy:
        assert proxy.stdout is not None
        assert proxy.stdout.readline().startswith("ENV=local: ")
        said = re.fullmatch(
            r"The page is at (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)\.\n", proxy.stdout.readline()
        )
        assert said
        page = urllib3.request("GET", said[1])
        assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        photograph = next((deployed.data / "test" / BREEDS[0]).iterdir()).read_bytes()
        answer = urllib3.request("POST", f"{said[1]}predict", body=photograph, headers={"Content-Type": "image/jpeg"})
        assert answer.status == 200
        assert answer.json()["predictions"][0]["label"] == BREEDS[0]
        os.killpg(proxy.pid, signal.SIGINT)
        assert "rror" not in proxy.stdout.read()  # Ctrl-C is how it ends


def test_plain_aws_commands_work(deployed: Journey, tmp_path: Path) -> None:
    photograph = next((deployed.data / "test" / BREEDS[0]).iterdir())
    (tmp_path / "event.json").write_text("{}")
    aws = Path(sys.executable).with_name("aws")
    script = f"""
        set -e
        eval "$(make -s env)"
        {aws} s3 ls
        {aws} sagemaker describe-endpoint --endpoint-name dogbreed-local --query EndpointStatus
        {aws} sagemaker-runtime invoke-endpoint --endpoint-name dogbreed-local --content-type image/jpeg \
            --body fileb://{photograph} {tmp_path}/endpoint.json
        {aws} lambda invoke --function-name dogbreed-local-predict --payload file://{tmp_path}/event.json \
            {tmp_path}/function.json
    """
    done = subprocess.run(
        ["bash", "-c", script], cwd=REPOSITORY, env=deployed.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "dogbreed-local-data-" in done.stdout
    assert '"InService"' in done.stdout
    assert json.loads((tmp_path / "endpoint.json").read_text())["predictions"][0]["top"][0]["label"] == BREEDS[0]
    assert json.loads((tmp_path / "function.json").read_text())["statusCode"] == 400
    # What a target proposes to be typed begins with what leads another shell to the same cloud.
    ask = ["ops/in_cloud.sh", "local", "printenv", "SHELL_PREFIX"]
    prefix = subprocess.run(ask, cwd=REPOSITORY, env=deployed.environment, capture_output=True, text=True, check=True)
    command = ["bash", "-c", f"({prefix.stdout.strip()} {aws} s3 ls)"]
    listed = subprocess.run(command, cwd=REPOSITORY, env=deployed.environment, capture_output=True, text=True)
    assert "dogbreed-local-data-" in listed.stdout, listed.stderr


@pytest.mark.full
def test_the_live_instance_count_survives_a_release_and_a_rollback(deployed: Journey) -> None:
    """And Terraform has nothing to change afterwards."""
    first = deployed.releases().split("@")[0]
    s3 = deployed.client("s3")
    artifacts = "dogbreed-local-artifacts-123456789012"
    model = {"Bucket": artifacts, "Key": f"runs/{first}/output/model.tar.gz"}
    s3.copy_object(Bucket=artifacts, Key="runs/second/output/model.tar.gz", CopySource=model)

    deployed.scale(3)
    deployed.succeed("deploy", "RUN=second")
    assert [entry.split("@")[0] for entry in deployed.releases().split(",")] == ["second", first]
    assert deployed.instances() == 3

    deployed.scale(2)
    deployed.succeed("rollback")
    rows = {line.split()[0]: line for line in deployed.succeed("releases").splitlines()}
    assert ("in service" in rows[first], "in service" in rows["second"]) == (True, False)
    assert [entry.split("@")[0] for entry in deployed.releases().split(",")] == [first, "second"]
    assert deployed.instances() == 2
    assert NO_CHANGES in deployed.succeed("plan")


def test_a_photograph_is_followed_through_logs_and_metrics(deployed: Journey) -> None:
    photograph = next((deployed.data / "test" / BREEDS[0]).iterdir())
    said = deployed.succeed("predict", f"IMAGE={photograph}", "TRACE=1")
    first, second = re.findall(r"^  request ([0-9a-f]{32}): 200$", said, flags=re.MULTILINE)
    assert first == second
    assert re.search(r"^  metrics dogbreed-local-predict: .*TotalMilliseconds [0-9.]+", said, flags=re.MULTILINE)
    assert re.search(r"^  metrics dogbreed-local: .*model_milliseconds [0-9.]+", said, flags=re.MULTILINE)
    *stages, in_all = map(float, re.findall(r"^[a-zL ,]+ +(-?[0-9]+\.[0-9])$", said, flags=re.MULTILINE))
    assert len(stages) == 7
    assert sum(stages) == pytest.approx(in_all, abs=0.5)  # each is rounded


def test_a_lock_of_somebody_else_is_told_with_the_way_out(deployed: Journey) -> None:
    lock = {"ID": "1f0c4a2e-1111-4222-8333-000000000000", "Who": "ana@laptop", "Created": "2026-11-22T18:00:00Z"}
    place = {"Bucket": "terraform-state-123456789012", "Key": "dogbreed/local.tfstate.tflock"}
    deployed.client("s3").put_object(**place, Body=json.dumps(lock))
    for arguments in (("plan",), ("infra",), ("destroy", "CONFIRM=yes")):
        refused = deployed.make(*arguments)
        assert refused.returncode != 0
        assert "The state is locked by ana@laptop since 2026-11-22 18:00:00" in refused.stderr
    assert deployed.refuse("unlock") == "Say which lock: LOCK=<the id that the refused command named>."
    deployed.succeed("unlock", f"LOCK={lock['ID']}")
    again = deployed.make("unlock", f"LOCK={lock['ID']}")
    assert again.returncode != 0
    assert "The state is not locked: nothing needs to be freed." in again.stderr
    assert "Contents" not in deployed.client("s3").list_objects_v2(Bucket=place["Bucket"], Prefix=place["Key"])


def test_what_is_refused_loses_nothing(deployed: Journey) -> None:
    before = deployed.releases()
    assert deployed.refuse("deploy", "RUN=nobody").startswith("There is no model of a run 'nobody'")
    assert deployed.refuse("deploy", "RUN=Not_A_Run").startswith("'Not_A_Run' is no run id")
    assert deployed.refuse("predict", "IMAGE=nothing.jpg").startswith("Cannot read the photograph nothing.jpg")
    assert deployed.refuse("data").startswith("Say which photographs")
    assert deployed.refuse("data", "DATA=/nowhere").startswith("There is no folder /nowhere")
    assert deployed.refuse("image").startswith("No image needs to be built here")
    assert "There is no environment 'staging'" in deployed.refuse("plan", "ENV=staging")
    assert deployed.refuse("rollback", "RUN=nobody").startswith("Run nobody is not on the release list")
    assert deployed.releases() == before


@pytest.mark.full
def test_the_same_target_twice_changes_nothing(deployed: Journey) -> None:
    before = deployed.releases()
    assert "already up" in deployed.succeed("up")
    assert "Resources: 0 added, 0 changed, 0 destroyed" in deployed.succeed("infra")
    deployed.succeed("data", f"DATA={deployed.data}")
    in_service = before.split("@")[0]
    assert "  Nothing changes.\n" in deployed.succeed("deploy", f"RUN={in_service}")
    assert deployed.releases() == before


@pytest.mark.full
def test_a_later_commit_changes_tags_alone(deployed: Journey) -> None:
    said = deployed.succeed("infra", "COMMIT=1111111")
    assert re.search(r"Resources: 0 added, [1-9]\d+ changed, 0 destroyed", said)
    assert NO_CHANGES in deployed.succeed("plan", "COMMIT=1111111")


def test_no_role_called_what_it_may_not_nor_may_what_nobody_calls(deployed: Journey) -> None:
    """What only AWS's own side calls is a reviewed list: tests/iam/reviewed.py."""
    photograph = next((deployed.data / "test" / BREEDS[0]).iterdir())
    deployed.succeed("predict", f"IMAGE={photograph}")
    account, calls = in_account(deployed.client), recorded(deployed.calls())
    assert len(calls) > 30
    assert refused(calls, account) == []
    assert never_called(calls, account) == only_on_aws()


def test_destroy_leaves_nothing_and_down_no_process(deployed: Journey) -> None:
    """Last in this file: what it takes away, the others need."""
    assert len(leftovers(deployed.url)) > 10
    assert "Nothing is left over that bears its tags." in deployed.succeed("destroy", "CONFIRM=yes")
    assert leftovers(deployed.url) == []
    deployed.succeed("down")
    assert deployed.home.processes() == []
    assert not deployed.home.path.exists()

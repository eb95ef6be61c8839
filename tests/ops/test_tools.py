"""The small tools: what they build, print and refuse."""

import io
import json
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from inference.artifact import ArtifactError, manifest_sha256
from local_aws.home import REPOSITORY
from ops.outputs import ToolError, read_outputs
from ops.package import function_zip, source_tar
from ops.predict import table
from ops.release import checked_digest, newest_run
from ops.releases import with_release
from tests.conftest import StandInUnderTest


def run_script(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_packages_have_the_same_bytes_whenever_and_wherever_they_are_built(tmp_path: Path) -> None:
    for name in ("handler.py", "page/index.html", "__pycache__/handler.pyc"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(name)
    before = function_zip(tmp_path)
    for file in tmp_path.rglob("*.*"):
        os.utime(file, (0, 0))
        file.chmod(0o600)
    assert function_zip(tmp_path) == before
    assert zipfile.ZipFile(io.BytesIO(before)).namelist() == ["handler.py", "page/index.html"]


def test_the_source_holds_what_a_job_needs_at_its_root() -> None:
    source = source_tar(REPOSITORY)
    assert source == source_tar(REPOSITORY)
    with tarfile.open(fileobj=io.BytesIO(source)) as tar:
        names = tar.getnames()
    assert {"train.py", "requirements.txt", "training/train.py", "inference/artifact.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("none", "new@d"),
        ("old@c", "new@d,old@c"),
        ("new@stale,old@c", "new@d,old@c"),
        ("old@c,new@stale", "new@d,old@c"),
        (",".join(f"r{i}@c" for i in range(10)), ",".join(["new@d", *(f"r{i}@c" for i in range(9))])),
    ],
)
def test_a_release_goes_to_the_front_and_ten_are_kept(before: str, after: str) -> None:
    assert with_release(before, "new", "d") == after


def stubbed_s3() -> tuple[Any, Stubber]:

    s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    return s3, Stubber(s3)


def test_without_a_trained_model_the_remedy_is_named() -> None:
    s3, stubber = stubbed_s3()
    stubber.add_response("list_objects_v2", {}, {"Bucket": "b", "Prefix": "runs/"})
    with stubber, pytest.raises(ToolError, match="run `make train-sagemaker` first"):
        newest_run(s3, "b")


def test_an_unknown_run_is_named() -> None:
    s3, stubber = stubbed_s3()
    stubber.add_client_error("head_object", "404")
    with stubber, pytest.raises(ToolError, match="There is no model of a run 'nobody'"):
        checked_digest(s3, "b", "nobody")


def test_a_broken_archive_is_refused_in_a_sentence(tmp_path: Path) -> None:

    (tmp_path / "model.tar.gz").write_bytes(b"no archive")
    with pytest.raises(ArtifactError, match=r"is not a readable model\.tar\.gz"):
        manifest_sha256(tmp_path / "model.tar.gz")


def test_outputs_before_infra_name_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="run `make infra` first"):
        read_outputs(tmp_path / "outputs.json")
    (tmp_path / "outputs.json").write_text("{}")
    with pytest.raises(ToolError, match="run `make infra` first"):
        read_outputs(tmp_path / "outputs.json")
    (tmp_path / "outputs.json").write_text(json.dumps({"region": {"value": "eu-west-1"}}))
    assert read_outputs(tmp_path / "outputs.json") == {"region": "eu-west-1"}


def test_the_table_shows_breeds_percentages_and_doubt() -> None:
    body = {
        "predictions": [{"label": "Beagle", "probability": 0.5}, {"label": "Collie", "probability": 0.001}],
        "low_confidence": True,
    }
    assert table(body).splitlines() == [
        "Beagle   50.0%  ███████████████",
        "Collie    0.1%",
        "(not sure: no breed is likely)",
    ]


@pytest.mark.parametrize("environment", ["staging", "../../etc", "dev prod", "local;id", ""])
def test_an_unknown_environment_is_named_with_those_there_are(environment: str) -> None:
    refused = run_script("make", "plan", f"ENV={environment}")
    assert refused.returncode == 2
    assert f"There is no environment '{environment}': ENV is one of dev local prod" in refused.stderr


@pytest.mark.parametrize(
    ("target", "name"),
    [("data", "DATA"), ("data", "DATASET"), ("predict", "IMAGE"), ("deploy", "RUN"), ("up", "PORT")],
)
def test_what_a_user_gives_is_never_read_as_a_command(tmp_path: Path, target: str, name: str) -> None:
    given = f'"; touch {tmp_path}/hacked; "'
    refused = run_script("make", target, f"{name}={given}", LOCAL_AWS_HOME=str(tmp_path / "home"))
    assert refused.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_a_shell_that_points_at_the_stand_in_is_not_taken_for_aws() -> None:
    refused = run_script("ops/in_cloud.sh", "dev", "true", AWS_ACCESS_KEY_ID="stand-in")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert refused.stderr.startswith("This shell points at the stand-in cloud")


def test_without_credentials_aws_is_refused_in_one_sentence() -> None:
    unset = [f"--unset={name}" for name in os.environ if name.startswith("AWS_")]
    masked = [f"{name}={os.devnull}" for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")]
    refused = run_script("env", *unset, *masked, "AWS_EC2_METADATA_DISABLED=true", "ops/in_cloud.sh", "dev", "true")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert refused.stderr.startswith("ENV=dev is AWS, and your credentials do not get there: ")


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        (None, False),
        ("null # nobody was named", False),
        ('["123456789012"]', False),
        ('["111111111111", "123456789012"]', False),
        ('["111111111111"]', True),
        ("[", True),  # on several lines: not understood is not allowed
    ],
)
def test_another_account_than_the_environment_s_is_refused(
    stand_in: StandInUnderTest, tmp_path: Path, allowed: str | None, refused: bool
) -> None:
    environments = tmp_path / "terraform" / "environments"
    environments.mkdir(parents=True)
    (environments / "some.tfvars").write_text(f"allowed_account_ids = {allowed}\n" if allowed else "")
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "in_cloud.sh").write_text((REPOSITORY / "ops" / "in_cloud.sh").read_text())
    (tmp_path / ".venv").symlink_to(REPOSITORY / ".venv")
    credentials = {**stand_in.variables, "AWS_ACCESS_KEY_ID": "of-another-account", "AWS_ACCOUNT_ID": ""}
    done = run_script("bash", f"{tmp_path}/ops/in_cloud.sh", "some", "printenv", "AWS_ACCOUNT_ID", **credentials)
    if refused:
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert "lead to the account 123456789012, and allowed_account_ids in terraform/environments/some" in done.stderr
    else:
        assert (done.returncode, done.stdout) == (0, "123456789012\n")


def test_without_the_stand_in_a_target_says_so(tmp_path: Path) -> None:
    refused = run_script("ops/in_cloud.sh", "local", "true", LOCAL_AWS_HOME=str(tmp_path / "home"))
    assert (refused.returncode, refused.stderr.strip()) == (1, "The stand-in is not up: run `make up` first.")


@pytest.mark.parametrize(
    ("program", "says", "message"),
    [
        ("terraform", None, "Terraform is missing: Terraform 1.11 or newer is needed; get it from https://"),
        ("terraform", "Terraform v1.9.8", "Terraform 1.9.8 is too old: Terraform 1.11 or newer is needed"),
        ("python3", "3.10.4", "Python 3.10.4 is too old: Python 3.11 or newer is needed"),
        ("git", None, "git is missing"),
        ("python3", '3.11.7; case "$2" in *ensurepip) exit 1; esac', "Python cannot make environments here"),
    ],
)
def test_a_missing_or_old_tool_is_named_in_one_line(
    tmp_path: Path, program: str, says: str | None, message: str
) -> None:
    versions = {"terraform": "Terraform v1.11.4", "python3": "3.11.7", "git": "git version 2.39.5"}
    for name, version in {**versions, program: says}.items():
        if version is not None:
            (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
            (tmp_path / name).chmod(0o755)
    for name in ("bash", "sort", "head", "sed", "awk", "env", "sh"):
        (tmp_path / name).symlink_to(next(p for p in (Path("/usr/bin") / name, Path("/bin") / name) if p.exists()))
    checked = run_script("ops/check_tools.sh", PATH=str(tmp_path))
    assert checked.returncode == 1
    assert len(checked.stderr.splitlines()) == 1
    assert checked.stderr.startswith(message)


def test_with_all_tools_nothing_is_said() -> None:
    checked = run_script("ops/check_tools.sh")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_two_inits_at_once_write_the_plugin_cache_one_after_the_other(tmp_path: Path) -> None:
    """Terraform's own words: the plugin cache is not safe for several writers."""
    terraform = tmp_path / "terraform"
    terraform.write_text(
        '#!/bin/sh\nmkdir "$TF_PLUGIN_CACHE_DIR/writer" && sleep 0.5 && rmdir "$TF_PLUGIN_CACHE_DIR/writer"\n'
    )
    terraform.chmod(0o755)
    (tmp_path / "data").mkdir()
    variables = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "TF_PLUGIN_CACHE_DIR": str(tmp_path / "cache"),
        "TF_DATA_DIR": str(tmp_path / "data"),
    }
    inits = [
        subprocess.Popen(
            ["ops/terraform_init.sh", ".", "-backend=false"], cwd=REPOSITORY, env=variables, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    assert [(init.wait(60), init.stderr and init.stderr.read()) for init in inits] == [(0, b"")] * 3


def test_an_init_is_done_again_when_something_that_it_reads_changed_and_not_else(tmp_path: Path) -> None:
    root, provider = tmp_path / "root", tmp_path / "data" / "providers" / "registry/author/name/1.0.0/here/provider"
    root.mkdir()
    (root / "main.tf").write_text("# one")
    (tmp_path / "place.tfbackend").write_text('key = "one"')
    (tmp_path / "terraform").write_text(
        f'#!/bin/sh\necho "$*" >>{tmp_path}/inits\n'
        f"mkdir -p {provider.parent} && touch {provider} && [ ! -e wrong.tf ]\n"
    )
    (tmp_path / "terraform").chmod(0o755)

    def inits(*arguments: str, account: str = "1", succeeds: bool = True) -> int:
        """How many were done when this one is through."""
        done = run_script(
            "ops/terraform_init.sh",
            str(root),
            "-backend-config=../place.tfbackend",
            *arguments,
            PATH=f"{tmp_path}:{os.environ['PATH']}",
            HOME=str(tmp_path),
            TF_DATA_DIR=str(tmp_path / "data"),
            AWS_ACCOUNT_ID=account,
        )
        assert (done.returncode == 0) is succeeds, done.stderr
        return len((tmp_path / "inits").read_text().splitlines())

    assert [inits(), inits()] == [1, 1]
    (root / "main.tf").write_text("# two")
    assert [inits(), inits()] == [2, 2]
    (root / ".terraform.lock.hcl").write_text("# another version")
    assert [inits(), inits()] == [3, 3]
    (tmp_path / "place.tfbackend").write_text('key = "two"')
    assert [inits(), inits()] == [4, 4]
    assert [inits(account="2"), inits(account="2"), inits("-reconfigure", account="2")] == [5, 5, 6]
    provider.unlink()
    assert [inits(), inits()] == [7, 7]
    (root / "wrong.tf").write_text("wrong")
    failed = inits(succeeds=False)
    (root / "wrong.tf").unlink()
    assert [inits(), inits()] == [failed + 1, failed + 1]

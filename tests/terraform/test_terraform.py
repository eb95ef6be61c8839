"""Terraform's own tests, and the format of its files, where no AWS is in reach."""

import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOT = REPOSITORY / "terraform"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which the root is initialised, apart from whatever the user has in terraform/."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_VAR_"))}
    if not Path(variables.get("TF_CLI_CONFIG_FILE", "/")).exists():
        del variables["TF_CLI_CONFIG_FILE"]
    variables |= {"TF_DATA_DIR": str(tmp_path_factory.mktemp("terraform")), "TF_IN_AUTOMATION": "true"}
    done = subprocess.run(
        [REPOSITORY / "ops" / "terraform_init.sh", ROOT, "-backend=false"],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return variables


def terraform(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["terraform", f"-chdir={ROOT}", *arguments, "-no-color"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_files_are_formatted(environment: dict[str, str]) -> None:
    done = terraform(environment, "fmt", "-check", "-recursive", "-diff")
    assert done.returncode == 0, done.stdout


def test_terraform_test(environment: dict[str, str]) -> None:
    done = terraform(environment, "test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout

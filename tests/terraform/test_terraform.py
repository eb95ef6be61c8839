"""Terraform's own tests, and the format of its files, where no AWS is in reach."""

import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOTS = ["terraform", "terraform/bootstrap", "terraform/ec2_run"]


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which each root is initialised, apart from whatever the user has in terraform/."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_VAR_"))}
    if not Path(own.get("TF_CLI_CONFIG_FILE", "/")).exists():
        del own["TF_CLI_CONFIG_FILE"]
    return own | {"TF_DATA_DIR": str(tmp_path_factory.mktemp("terraform")), "TF_IN_AUTOMATION": "true"}


def run(variables: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=REPOSITORY, env=variables, capture_output=True, text=True, check=False)


def test_the_files_are_formatted(variables: dict[str, str]) -> None:
    done = run(variables, "terraform", "fmt", "-check", "-recursive", "-diff", "-no-color", "terraform")
    assert done.returncode == 0, done.stdout


def test_checkov_has_nothing_to_say(variables: dict[str, str]) -> None:
    """What it is told to skip stands beside the resource, with a reason."""
    done = run(variables, ".venv-checkov/bin/checkov", "--config-file", ".checkov.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^Passed checks: [1-9]\d+, Failed checks: 0, ", done.stdout, flags=re.MULTILINE)


@pytest.mark.parametrize("root", ROOTS)
def test_terraform_test(variables: dict[str, str], root: str) -> None:
    variables = {**variables, "TF_DATA_DIR": f"{variables['TF_DATA_DIR']}/{root}"}
    done = run(variables, "ops/terraform_init.sh", root, "-backend=false")
    assert done.returncode == 0, done.stderr
    done = run(variables, "terraform", f"-chdir={root}", "test", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout

"""Terraform's own tests, and the format of its files, where no AWS is in reach."""

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOTS = ["terraform", "terraform/bootstrap", "terraform/ec2_run"]


def run(variables: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=REPOSITORY, env=variables, capture_output=True, text=True, check=False)


def test_the_files_are_formatted(offline: dict[str, str]) -> None:
    done = run(offline, "terraform", "fmt", "-check", "-recursive", "-diff", "-no-color", "terraform")
    assert done.returncode == 0, done.stdout


def test_checkov_has_nothing_to_say(offline: dict[str, str]) -> None:
    """What it is told to skip stands beside the resource, with a reason."""
    done = run(offline, ".venv-checkov/bin/checkov", "--config-file", ".checkov.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^Passed checks: [1-9]\d+, Failed checks: 0, ", done.stdout, flags=re.MULTILINE)


def test_every_root_is_locked_to_the_same_provider() -> None:
    """The one that is started once for all of them below."""
    assert len({(REPOSITORY / root / ".terraform.lock.hcl").read_text() for root in ROOTS}) == 1


@pytest.mark.parametrize("root", ROOTS)
def test_terraform_test(offline: dict[str, str], attached: dict[str, str], root: str, tmp_path: Path) -> None:
    """In a folder of its own, apart from whatever the user has in terraform/."""
    data = {"TF_DATA_DIR": str(tmp_path)}
    done = run(offline | data, "ops/terraform_init.sh", root, "-backend=false")
    assert done.returncode == 0, done.stderr
    done = run(attached | data, "terraform", f"-chdir={root}", "test", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout

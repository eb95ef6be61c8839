"""The hosted workflows, as far as one machine can tell: their security, their shell, and what they make of a plan."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local_aws.home import REPOSITORY

BIN = Path(sys.executable).parent


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )


def test_zizmor_finds_nothing_in_the_workflows() -> None:
    done = run(BIN / "zizmor", "--offline", "--no-progress", ".github")
    assert done.returncode == 0, done.stdout
    assert "No findings to report" in done.stdout + done.stderr


def test_workflows_scan_with_the_zizmor_that_is_tested_here() -> None:
    pins = [re.search(r"^zizmor==(\S+)", (REPOSITORY / name).read_text(), flags=re.MULTILINE) for name in
            ("requirements.txt", ".github/requirements.txt")]  # fmt: skip
    assert pins[0] and pins[1] and pins[0][1] == pins[1][1]


def test_every_action_is_pinned_by_its_commit() -> None:
    used = [
        line.strip()
        for path in (REPOSITORY / ".github" / "workflows").glob("*.yml")
        for line in path.read_text().splitlines()
        if "uses:" in line
    ]
    assert len(used) > 10
    assert [line for line in used if not re.fullmatch(r"- uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_the_scripts_are_sound_shell() -> None:
    scripts = [*REPOSITORY.glob("ops/*.sh"), *REPOSITORY.glob(".github/*.sh")]
    assert len(scripts) >= 5
    done = run(BIN / "shellcheck", *scripts)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A copy of plan.sh beside a make that answers as it is told."""
    (tmp_path / "plan.sh").write_text((REPOSITORY / ".github" / "plan.sh").read_text())
    (tmp_path / "make").write_text(
        """#!/bin/bash
for argument in "$@"; do [[ $argument = CODE=* ]] && echo "$SAYS" >"${argument#CODE=}"; done
printf '%s\\n' "Refreshing…" "$PLAN" "make $*"
[ "$SAYS" = 1 ] && exit 2
exit 0
"""
    )
    (tmp_path / "make").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("code", "said", "title"),
    [
        ("0", "No changes. Your infrastructure matches the configuration.", "Plan for prod: no changes"),
        ("2", "Terraform will perform…\nPlan: 1 to add, 0 to change, 0 to destroy.", "Plan for prod: 1 to add, 0 to"),
        ("2", "Changes to Outputs:\n  + x = 1", "Plan for prod: outputs only"),
    ],
)
def test_a_plan_becomes_a_comment(plan: Path, code: str, said: str, title: str) -> None:
    summary = plan / "summary"
    done = subprocess.run(
        ["bash", "plan.sh", "prod", "1234567"],
        cwd=plan,
        env={**os.environ, "PATH": f"{plan}:{os.environ['PATH']}", "SAYS": code, "PLAN": said,
             "GITHUB_STEP_SUMMARY": str(summary)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    comment = (plan / "build" / "plan" / "comment.md").read_text()
    assert comment.startswith("<!-- terraform-plan -->\n")
    assert title in comment
    assert said in comment
    assert "Refreshing" not in comment
    assert summary.read_text() == comment
    assert "COMMIT=1234567" in done.stdout


def test_a_plan_that_fails_fails_the_job(plan: Path) -> None:
    variables = {**os.environ, "PATH": f"{plan}:{os.environ['PATH']}", "SAYS": "1", "PLAN": "Error: no"}
    done = subprocess.run(["bash", "plan.sh", "prod"], cwd=plan, env=variables, capture_output=True, check=False)
    assert done.returncode != 0
    assert not (plan / "build" / "plan" / "comment.md").exists()

"""Terraform as the tools run it: what a plan tells people, and that nothing cuts an apply short."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local_aws.home import REPOSITORY
from ops.terraform import apply, changes
from tests.conftest import wait_for


def change(kind: str, actions: list[str], before: Any, after: Any) -> dict[str, Any]:
    return {
        "address": f"module.m.{kind}.this",
        "type": kind,
        "change": {"actions": actions, "before": before, "after": after},
    }


def test_a_plan_is_told_by_kind_and_name() -> None:
    endpoint = {"name": "dogs", "endpoint_config_name": "old", "tags": {}}
    plan = {
        "resource_changes": [
            change("aws_sagemaker_model", ["create"], None, {"name": "dogs-new"}),
            change("aws_sagemaker_model", ["delete"], {"name": "dogs-oldest"}, None),
            change("aws_sagemaker_endpoint", ["update"], endpoint, {**endpoint, "endpoint_config_name": "new"}),
            change("aws_lambda_alias", ["delete", "create"], {"name": "live"}, {"name": "live"}),
            change("aws_kms_key", ["create"], None, {}),
            change("aws_s3_bucket", ["update"], {"bucket": "b", "tags": {}}, {"bucket": "b", "tags": {"Commit": "1"}}),
            change("aws_s3_bucket", ["no-op"], {"bucket": "c"}, {"bucket": "c"}),
            change("aws_iam_policy_document", ["read"], None, {}),
        ]
    }
    assert changes(plan) == [
        "  + kms_key: module.m.aws_kms_key.this",
        "  + sagemaker_model: dogs-new",
        "  - sagemaker_model: dogs-oldest",
        "  ~ sagemaker_endpoint: dogs (endpoint_config_name)",
        "  ± lambda_alias: live",
        "  ~ the tags of 1 others",
    ]
    assert changes({"resource_changes": []}) == ["  Nothing changes."]


def terraform(folder: Path, plan: int, applied: int) -> str:
    """A Terraform that ends with these statuses, and writes down how it was called."""
    program = folder / "terraform"
    shown = json.dumps({"applyable": True})
    program.write_text(
        f'#!/bin/sh\necho "$@" >>{folder}/calls\n'
        f"case $1 in plan) exit {plan};; apply) exit {applied};; show) echo '{shown}';; esac\n"
    )
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(("plan", "applied", "worked"), [(0, 0, True), (1, 0, False), (0, 1, False)])
def test_what_was_planned_is_what_is_applied(tmp_path: Path, plan: int, applied: int, *, worked: bool) -> None:
    assert apply([terraform(tmp_path, plan, applied), "-var=a=b"]) is worked
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    assert calls[0][0] == "plan"
    assert calls[0][2:] == ["-var=a=b"]
    if plan == 0:
        file = calls[0][1].removeprefix("-out=")
        assert calls[1:] == [["show", "-json", file], ["apply", "-compact-warnings", file]]
    else:
        assert len(calls) == 1


def test_ctrl_c_lets_the_apply_save_its_state(tmp_path: Path) -> None:
    apply = f"trap 'sleep 1; touch {tmp_path}/saved; exit 1' INT; touch {tmp_path}/started; while :; do sleep 0.1; done"
    program = f"from ops.terraform import run_to_its_end; run_to_its_end(['bash', '-c', {apply!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, start_new_session=True, stderr=subprocess.DEVNULL
    )
    wait_for((tmp_path / "started").exists)
    subprocess.run(["kill", f"-{signal.SIGINT.name[3:]}", "--", f"-{process.pid}"], check=True)
    assert process.wait(30) != 0
    assert (tmp_path / "saved").exists()

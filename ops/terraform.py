"""Terraform as the tools run it: it plans, the plan is told in a few lines, and exactly that is applied."""

import json
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops.outputs import ToolError

_SIGNS = {"create": "+", "update": "~", "delete": "-", "replace": "±"}
_NAMES = ("name", "bucket", "alarm_name", "function_name", "dashboard_name", "id")


class PlanError(ToolError):
    """There is no plan."""


@contextmanager
def planned(command: list[str], *options: str) -> Iterator[tuple[dict[str, Any], Path]]:
    """A plan, as `terraform show -json` has it, and its file, which is gone afterwards.

    `command` is Terraform and the variables of its root: ["ops/terraform.sh", "-var=…", …]. Raises PlanError when there
    can be no plan; Terraform itself tells why on stderr.
    """
    terraform, *variables = command
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan"
        plan = [terraform, "plan", f"-out={file}", *options, *variables]
        if run_to_its_end(plan, stdout=subprocess.DEVNULL) != 0:
            raise PlanError("Terraform could not plan: the reason stands above.")
        shown = subprocess.run([terraform, "show", "-json", str(file)], stdout=subprocess.PIPE, check=False)
        if shown.returncode != 0:
            raise PlanError("Terraform could not show its plan: the reason stands above.")
        yield json.loads(shown.stdout), file


def apply(command: list[str]) -> bool:
    """Plan, print what would change, and apply exactly that, if anything. Returns whether it worked."""
    try:
        with planned(command) as (plan, file):
            print("\n".join(changes(plan)), flush=True)
            # What a check warns of, `make plan` and `make infra` tell at length.
            return not plan["applyable"] or run_to_its_end([command[0], "apply", "-compact-warnings", str(file)]) == 0
    except PlanError:
        return False


def changes(plan: dict[str, Any]) -> list[str]:
    """What a plan (as `terraform show -json` has it) changes: a line for each kind of resource and of change."""
    lines: defaultdict[str, list[str]] = defaultdict(list)
    only_tags = 0
    for resource in plan.get("resource_changes", []):
        change = resource["change"]
        action = "replace" if len(change["actions"]) > 1 else change["actions"][0]
        if action not in _SIGNS:
            continue
        before, after = change["before"] or {}, change["after"] or {}
        differing = [name for name in after if action == "update" and after[name] != before.get(name)]
        if differing and set(differing) <= {"tags", "tags_all"}:
            only_tags += 1
            continue
        known = {**before, **{name: value for name, value in after.items() if value is not None}}
        name = next((str(known[key]) for key in _NAMES if known.get(key)), resource["address"])
        what = f" ({', '.join(item for item in differing if not item.startswith('tags'))})" if differing else ""
        lines[f"{_SIGNS[action]} {resource['type'].removeprefix('aws_')}"].append(name + what)
    told = [f"  {kind}: {', '.join(sorted(names))}" for kind, names in sorted(lines.items())]
    if only_tags:
        told.append(f"  ~ the tags of {only_tags} others")
    return told or ["  Nothing changes."]


def run_to_its_end(command: list[str], **options: Any) -> int:
    """Run a command that must not be cut short: Ctrl-C reaches it too, and it saves its state before it ends.

    `options` are subprocess.Popen's.
    """
    process = subprocess.Popen(command, **options)
    was_interrupted = False
    while True:
        try:
            status = process.wait()
            break
        except KeyboardInterrupt:
            was_interrupted = True
    if was_interrupted:
        raise KeyboardInterrupt
    return status

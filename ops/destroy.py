"""Take everything away: list what goes, ask, let Terraform do it, and name what is left over in the account.

python -m ops.destroy --outputs build/dev/outputs.json --confirm "" -- ops/terraform.sh -var=…
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3

from ops.outputs import ToolError, run
from ops.terraform import changes, planned, run_to_its_end

# AWS lists by its tags, for some minutes, also what has just gone.
_PATIENCE_SECONDS, _PAUSE_SECONDS = 300, 10
_VARIABLES = ("project", "environment", "region")
# What AWS keeps as history and bills nobody for, by what stands in the ARN.
_HISTORY = (":training-job/", ":hyper-parameter-tuning-job/")


def refuse_full_buckets(plan: dict[str, Any], region: str) -> None:
    """Raise ToolError when a bucket holds something that its environment keeps: Terraform would stop there, halfway."""
    s3 = boto3.client("s3", region_name=region)
    for change in (
        resource["change"] for resource in plan.get("resource_changes", []) if resource["type"] == "aws_s3_bucket"
    ):
        if change["actions"] == ["delete"] and not change["before"]["force_destroy"]:
            name = change["before"]["bucket"]
            held = s3.list_object_versions(Bucket=name, MaxKeys=1)
            if held.get("Versions") or held.get("DeleteMarkers"):
                raise ToolError(f"Nothing was destroyed: empty the bucket {name} by hand first, which this keeps.")


def left_over(project: str, environment: str, region: str) -> Iterator[tuple[str, bool]]:
    """(ARN, whether it goes by itself) of what bears the tags that terraform/providers.tf puts on everything.

    The API that finds resources by their tags knows nearly every type; IAM's roles are none of them.
    """
    tags = [{"Key": key, "Values": [value]} for key, value in (("Project", project), ("Environment", environment))]
    tagging, kms, ec2 = (boto3.client(name, region_name=region) for name in ("resourcegroupstaggingapi", "kms", "ec2"))
    for page in tagging.get_paginator("get_resources").paginate(TagFilters=tags):
        for found in page["ResourceTagMappingList"]:
            arn: str = found["ResourceARN"]
            if any(kind in arn for kind in _HISTORY):
                continue
            if arn.split(":")[2] == "kms":
                goes = kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "PendingDeletion"
            elif ":instance/" in arn:
                alive = [{"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
                ids = {"Name": "instance-id", "Values": [arn.rsplit("/", 1)[-1]]}
                goes = not ec2.describe_instances(Filters=[*alive, ids])["Reservations"]
            else:
                goes = False
            yield arn, goes


def report(found: list[tuple[str, bool]]) -> str:
    """What to tell of it. Raises ToolError when something is left over that stays."""
    if staying := [arn for arn, goes in found if not goes]:
        raise ToolError(
            f"Left over by its tags after {_PATIENCE_SECONDS} s: {', '.join(staying)}. Ask again by `make destroy`, as "
            "AWS lists for a while what has gone; delete by hand what stays."
        )
    return "\n".join(["Nothing is left over that bears its tags.", *(f"{arn} is going by itself." for arn, _ in found)])


def wait_for_the_end(ask: Callable[[], list[tuple[str, bool]]]) -> list[tuple[str, bool]]:
    """What `ask` finds, once nothing of it stays, or patience has ended."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        found = ask()
        if all(goes for _, goes in found) or time.monotonic() > deadline:
            return found
        time.sleep(_PAUSE_SECONDS)


def agreed() -> bool:
    try:
        return input("Destroy all of this? Type yes: ") == "yes"
    except EOFError:
        print()
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outputs", type=Path, required=True, help="what says that something is provisioned")
    parser.add_argument("--confirm", required=True, help="yes: do not ask")
    parser.add_argument("terraform", nargs="+", help="Terraform, and the variables of its root")
    arguments = parser.parse_args()
    with planned(arguments.terraform, "-destroy") as (plan, file):
        print("\n".join(changes(plan)), flush=True)
        project, environment, region = (plan["variables"][name]["value"] for name in _VARIABLES)
        refuse_full_buckets(plan, region)
        if arguments.confirm != "yes" and not agreed():
            raise ToolError("Nothing was destroyed.")
        if run_to_its_end([arguments.terraform[0], "apply", str(file)]) != 0:
            raise ToolError("Not everything was destroyed: the reason stands above; once it is mended, try again.")
    arguments.outputs.unlink(missing_ok=True)
    print(report(wait_for_the_end(lambda: list(left_over(project, environment, region)))))


if __name__ == "__main__":
    run(main)

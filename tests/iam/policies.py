"""The policies of an account, as Terraform rendered them or as they are deployed."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from policy_sentry.analysis.expand import expand

Policy = dict[str, Any]

# Their kinds sound like it, but nobody is allowed anything by them.
ALLOW_NOTHING = {
    "aws_appautoscaling_policy",
    "aws_ecr_lifecycle_policy",
    "aws_iam_instance_profile",
    "aws_iam_openid_connect_provider",
}

REPOSITORY = Path(__file__).parents[2]
HERE = Path(__file__).parent


@dataclass
class Role:
    trust: Policy
    policies: list[Policy] = field(default_factory=list)
    managed: list[str] = field(default_factory=list)  # ARNs of attached policies that are AWS's own
    boundary: str | None = None


@dataclass
class Account:
    roles: dict[str, Role] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)  # customer-managed, by ARN
    on_resources: dict[str, Policy] = field(default_factory=dict)  # buckets', keys' and topics' own, by ARN


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(policy: Policy, effect: str) -> list[dict[str, Any]]:
    return [statement for statement in as_list(policy["Statement"]) if statement["Effect"] == effect]


def actions(statement: dict[str, Any]) -> set[str]:
    """What a statement's Action names, wildcards expanded."""
    return {action for pattern in as_list(statement["Action"]) for action in expand(pattern)}


def conditions(statement: dict[str, Any]) -> dict[str, list[str]]:
    """Condition key → values, the empty one where the key has to be missing.

    The operators are not told apart otherwise; the simulation exercises them.
    """
    found: dict[str, list[str]] = {}
    for operator, tests in statement.get("Condition", {}).items():
        for key, values in tests.items():
            assert key not in found, f"{key} stands in two conditions of one statement"
            assert operator != "Null" or values == "true", "a key that has to be there is nothing that is expected here"
            found[key] = [""] if operator == "Null" else as_list(values)
    return found


def render(root: str, folder: Path, variables: dict[str, str]) -> dict[str, Account]:
    """What `terraform test` plans for terraform/<root>, by run.

    Its plans, unlike others, know also what AWS makes up (a key's ARN): tests/iam/<root>.tftest.hcl gives it. A copy
    of the folder is planned, so that nobody's state, variables or other tests take part.
    """
    copy = shutil.copytree(
        REPOSITORY / "terraform",
        folder / f"of_{root}" / "terraform",
        ignore=shutil.ignore_patterns(".terraform", "tests"),
    )
    (folder / f"of_{root}" / "ec2_bootstrap").symlink_to(REPOSITORY / "ec2_bootstrap")
    root_folder = copy / root if root != "main" else copy
    (root_folder / "tests").mkdir()
    shutil.copy(HERE / f"{root}.tftest.hcl", root_folder / "tests")
    variables = {**variables, "TF_DATA_DIR": str(folder / root)}
    for command in (
        [str(REPOSITORY / "ops" / "terraform_init.sh"), str(root_folder), "-backend=false"],
        ["terraform", f"-chdir={root_folder}", "test", "-json", "-verbose"],
    ):
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        errors = [event["diagnostic"] for event in events if event["@level"] == "error"]
        assert done.returncode == 0, done.stderr + json.dumps(errors, indent=1)
    plans = {event["@testrun"]: event["test_plan"] for event in events if event["type"] == "test_plan"}
    return {run: planned(plan) for run, plan in plans.items()}


def planned(plan: dict[str, Any]) -> Account:
    """The account as one plan would make it. What is unknown or of a kind not expected here raises."""
    account = Account()
    of_type: dict[str, list[dict[str, Any]]] = {}
    for change in plan["resource_changes"]:
        if change["mode"] == "managed":
            unknown = {name for name, is_so in change["change"]["after_unknown"].items() if is_so is True}
            assert not unknown & {"policy", "role", "policy_arn"}, f"{change['address']}: {unknown} known after apply"
            of_type.setdefault(change["type"], []).append(change["change"]["after"])
    for role in of_type.pop("aws_iam_role", []):
        account.roles[role["name"]] = Role(
            trust=json.loads(role["assume_role_policy"]),
            managed=role.get("managed_policy_arns") or [],
            boundary=role["permissions_boundary"],
        )
        assert not role.get("inline_policy"), "a policy inside of a role is not read here"
    for policy in of_type.pop("aws_iam_role_policy", []):
        account.roles[policy["role"]].policies.append(json.loads(policy["policy"]))
    for policy in of_type.pop("aws_iam_policy", []):
        account.policies[policy["arn"]] = json.loads(policy["policy"])
    for attachment in of_type.pop("aws_iam_role_policy_attachment", []):
        holder, arn = account.roles[attachment["role"]], attachment["policy_arn"]
        if arn in account.policies:
            holder.policies.append(account.policies[arn])
        else:
            holder.managed.append(arn)
    for bucket in of_type.pop("aws_s3_bucket_policy", []):
        account.on_resources[f"arn:aws:s3:::{bucket['bucket']}"] = json.loads(bucket["policy"])
    for key in of_type.pop("aws_kms_key", []):
        account.on_resources[key["arn"]] = json.loads(key["policy"])
    for topic in of_type.pop("aws_sns_topic_policy", []):
        account.on_resources[topic["arn"]] = json.loads(topic["policy"])
    grants = ("_policy", "_permission", "_grant", "_acl")
    unread = {kind for kind in of_type if kind.startswith("aws_iam_") or kind.endswith(grants)} - ALLOW_NOTHING
    assert not unread, f"kinds of resources that may allow something, and are not read here: {unread}"
    return account


def in_account(client: Callable[[str], Any]) -> Account:
    """What is deployed in an account. `client` makes a client of a service."""
    account = Account()
    details = client("iam").get_account_authorization_details(Filter=["Role", "LocalManagedPolicy"])
    for policy in details["Policies"]:
        version = next(version for version in policy["PolicyVersionList"] if version["IsDefaultVersion"])
        account.policies[policy["Arn"]] = version["Document"]
    for role in details["RoleDetailList"]:
        attached = [policy["PolicyArn"] for policy in role["AttachedManagedPolicies"]]
        account.roles[role["RoleName"]] = Role(
            trust=role["AssumeRolePolicyDocument"],
            policies=[policy["PolicyDocument"] for policy in role["RolePolicyList"]]
            + [account.policies[arn] for arn in attached if arn in account.policies],
            managed=[arn for arn in attached if arn not in account.policies],
            boundary=role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        )
    s3, kms = client("s3"), client("kms")
    for bucket in s3.list_buckets()["Buckets"]:
        try:
            policy = s3.get_bucket_policy(Bucket=bucket["Name"])["Policy"]
        except s3.exceptions.ClientError:
            continue  # it has none
        account.on_resources[f"arn:aws:s3:::{bucket['Name']}"] = json.loads(policy)
    for key in kms.list_keys()["Keys"]:
        policy = kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"]
        account.on_resources[key["KeyArn"]] = json.loads(policy)
    return account

"""Look for what is too open, allowed too much or no longer needed among what the project has in the account of ENV.

    ENV=dev python -m ops.audit --outputs build/dev/outputs.json

Reads, and changes nothing. Exit status: 2 with findings, 0 without, 1 when it could not be run.
"""

import argparse
import fnmatch
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError
from policy_sentry.querying.actions import get_actions_for_service, get_actions_that_support_wildcard_arns_only
from policy_sentry.querying.all import get_all_service_prefixes

from ops.outputs import columns, read_outputs, run

UNUSED_DAYS = 90
Finding = tuple[str, str]  # whose, what


def lists(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def allowing(policy: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (statement for statement in lists(policy["Statement"]) if statement["Effect"] == "Allow")


def lets_everyone_in(policy: dict[str, Any]) -> bool:
    """Whether it names everyone, under whatever condition, or whoever has a token of an identity provider."""
    for statement in allowing(policy):
        named = statement.get("Principal", "*")  # NotPrincipal is everyone, too
        principals = list(chain(*map(lists, named.values()))) if isinstance(named, dict) else [named]
        has_subject = any(key.endswith(":sub") for test in statement.get("Condition", {}).values() for key in test)
        if "*" in principals or (not has_subject and any(":oidc-provider/" in one for one in principals)):
            return True
    return False


@cache
def limitable(service: str) -> set[str]:
    """Actions that know resources, by AWS's list of them, in small letters. What is newer than our copy is no part."""
    if service not in get_all_service_prefixes():
        return set()
    without = get_actions_that_support_wildcard_arns_only(service)
    return {action.lower() for action in set(get_actions_for_service(service)) - set(without)}


def excesses(policy: dict[str, Any]) -> Iterator[str]:
    """What is allowed beyond any need. Actions that know no resource can be allowed on all of them only."""
    for statement in allowing(policy):
        actions = lists(statement.get("Action", "*"))
        wide = [action for action in actions if action == "*" or action.endswith(":*")]
        if {"NotAction", "NotResource"} & set(statement):
            yield "allows all but what it names; say what it needs"
        elif wide:
            yield f"allows {' '.join(wide)}; name the actions that it needs"
        elif "*" in lists(statement["Resource"]):
            named = [action.lower() for action in actions]
            if wide := [action for action in named if fnmatch.filter(limitable(action.split(":")[0]), action)]:
                yield f"allows {' '.join(wide)} on every resource; name those that it needs"


def unless(code: str, call: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """What is answered; nothing where the answer is that error, by which AWS says that there is none."""
    try:
        return dict(call(**arguments))
    except ClientError as error:
        if error.response["Error"]["Code"] == code:
            return {}
        raise


class Audit:
    """What is the project's own: by its name in this environment, or by its tag in any. `seen` counts it."""

    def __init__(self, session: boto3.Session, project: str, environment: str, now: datetime) -> None:
        self._client, self._now = session.client, now
        self._prefix, self._tag = f"{project}-{environment}", {"Key": "Project", "Value": project}
        self.seen: Counter[str] = Counter()

    def _owns(self, kind: str, name: str, tags: list[dict[str, str]] | None = None) -> bool:
        owns = f"{name}-".startswith(f"{self._prefix}-") or self._tag in (tags or [])
        self.seen[kind] += owns
        return owns

    def _all(self, service: str, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
        pages = self._client(service).get_paginator(operation).paginate(**arguments)
        return chain.from_iterable(page[key] for page in pages)

    def iam(self) -> Iterator[Finding]:
        details = self._client("iam").get_paginator("get_account_authorization_details")
        account = details.paginate(Filter=["Role", "LocalManagedPolicy"]).build_full_result()
        versions = {policy["Arn"]: policy["PolicyVersionList"] for policy in account["Policies"]}
        for policy in account["Policies"]:
            if not policy["AttachmentCount"] and not policy.get("PermissionsBoundaryUsageCount"):
                tags = self._client("iam").list_policy_tags(PolicyArn=policy["Arn"])["Tags"]
                name = policy["Arn"].rsplit("/", 1)[-1]
                if self._owns("unattached policies", name, tags):
                    yield f"policy {name}", "is attached to nothing; delete it"
        for role in account["RoleDetailList"]:
            if not self._owns("roles", role["RoleName"], role.get("Tags")):
                continue
            name = f"role {role['RoleName']}"
            used = role.get("RoleLastUsed", {}).get("LastUsedDate")
            if (self._now - (used or role["CreateDate"])).days >= UNUSED_DAYS:
                since = f"since {used:%Y-%m-%d}" if used else f"ever, and is there since {role['CreateDate']:%Y-%m-%d}"
                yield name, f"was not used {since}; delete it if nobody will"
            if lets_everyone_in(role["AssumeRolePolicyDocument"]):
                yield name, "can be taken by everyone; name in its trust policy who may"
            policies = [policy["PolicyDocument"] for policy in role["RolePolicyList"]]
            for attached in role["AttachedManagedPolicies"]:
                own = versions.get(attached["PolicyArn"], [])
                policies += [version["Document"] for version in own if version["IsDefaultVersion"]]
                if not own:
                    yield name, f"has AWS's own {attached['PolicyName']}, which may grow; say what it needs"
            for excess in chain.from_iterable(map(excesses, policies)):
                yield name, excess

    def buckets(self) -> Iterator[Finding]:
        s3 = self._client("s3")
        for name in (bucket["Name"] for bucket in self._all("s3", "list_buckets", "Buckets")):
            if self._owns("buckets", name):
                block = unless("NoSuchPublicAccessBlockConfiguration", s3.get_public_access_block, Bucket=name)
                if sum(block.get("PublicAccessBlockConfiguration", {}).values()) < 4:
                    yield f"bucket {name}", "does not block all public access; block it"
                policy = unless("NoSuchBucketPolicy", s3.get_bucket_policy, Bucket=name).get("Policy")
                if policy and lets_everyone_in(json.loads(policy)):
                    yield f"bucket {name}", "has a policy that lets everyone in; take that statement out"

    def functions(self) -> Iterator[Finding]:
        client, nothing = self._client("lambda"), "ResourceNotFoundException"
        for name in (function["FunctionName"] for function in self._all("lambda", "list_functions", "Functions")):
            if self._owns("functions", name):
                aliases = self._all("lambda", "list_aliases", "Aliases", FunctionName=name)
                for called in [{}, *({"Qualifier": alias["Name"]} for alias in aliases)]:
                    whose = f"function {':'.join([name, *called.values()])}"
                    url = unless(nothing, client.get_function_url_config, FunctionName=name, **called)
                    if url.get("AuthType") == "NONE":
                        yield whose, "has a URL for everyone; make its type AWS_IAM"
                    policy = unless(nothing, client.get_policy, FunctionName=name, **called).get("Policy")
                    if policy and lets_everyone_in(json.loads(policy)):
                        yield whose, "can be called by everyone; remove that permission"

    def notebooks(self) -> Iterator[Finding]:
        for instance in self._all("sagemaker", "list_notebook_instances", "NotebookInstances"):
            name = instance["NotebookInstanceName"]
            if self._owns("notebooks", name):
                notebook = self._client("sagemaker").describe_notebook_instance(NotebookInstanceName=name)
                if notebook.get("RootAccess") == "Enabled":
                    yield f"notebook {name}", "gives root to whoever opens it; disable that"
                # Outside of a private network, which is the environment's choice, there is no other way to AWS.
                if notebook["DirectInternetAccess"] == "Enabled" and notebook.get("SubnetId"):
                    yield f"notebook {name}", "reaches the internet past its private network; disable that"

    def security_groups(self) -> Iterator[Finding]:
        for group in self._all("ec2", "describe_security_groups", "SecurityGroups"):
            if self._owns("security groups", group["GroupName"], group.get("Tags")):
                for rule in group["IpPermissions"]:
                    sources = [*chain(*(each.values() for each in rule["IpRanges"] + rule["Ipv6Ranges"]))]
                    if {"0.0.0.0/0", "::/0"} & set(sources):
                        port = rule.get("FromPort", "any")
                        yield f"security group {group['GroupName']}", f"lets the world in at port {port}; remove that"

    def analyzers(self) -> Iterator[Finding]:
        """What AWS found in the whole account, and nobody archived."""
        for analyzer in self._all("accessanalyzer", "list_analyzers", "analyzers"):
            self.seen["analyzers"] += 1
            active = {"analyzerArn": analyzer["arn"], "filter": {"status": {"eq": ["ACTIVE"]}}}
            for finding in self._all("accessanalyzer", "list_findings_v2", "findings", **active):
                yield finding["resource"], f"{finding['findingType']}, says {analyzer['name']}; mend or archive it"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outputs", type=Path, required=True)
    outputs, is_local = read_outputs(parser.parse_args().outputs), os.environ["ENV"] == "local"
    session = boto3.Session(region_name=outputs["region"])
    audit = Audit(session, outputs["project"], os.environ["ENV"], datetime.now(UTC))
    asked = [audit.iam, audit.buckets, audit.functions, audit.notebooks, audit.security_groups]
    findings = [finding for look in [*asked, *([] if is_local else [audit.analyzers])] for finding in look()]
    if findings:
        print(columns([(whose, f"{what}.") for whose, what in findings]))
    if not audit.seen["analyzers"]:
        print(f"Not asked: IAM Access Analyzer; {'the stand-in' if is_local else 'this account'} has none.")
    print(f"Findings: {len(findings)}. Looked at: {', '.join(f'{kind} {n}' for kind, n in audit.seen.items())}.")
    sys.exit(2 if findings else 0)


if __name__ == "__main__":
    run(main)

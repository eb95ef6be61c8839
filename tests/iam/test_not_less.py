"""The roles may do what they need: below the boundary, too. The end-to-end test adds what they were seen to do."""

import json
from dataclasses import replace

import pytest

from tests.iam.not_less import never_called, only_on_aws, recorded, refused
from tests.iam.policies import Account
from tests.iam.proof import Request, is_expected, questions, verdicts
from tests.iam.proof import reviewed as lines_of
from tests.iam.reviewed import ACCOUNT, DATA, PREFIX
from tests.iam.test_not_more import ROLES

pytestmark = pytest.mark.xdist_group("iam")
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/dogbreed-boundary"
WORKLOADS = [
    pytest.param(run, role, id=f"{run}-{role}")
    for run in ("defaults", "in_a_network", "ec2_run")
    for role in ROLES[run]
]


@pytest.mark.parametrize(("run", "role"), WORKLOADS)
def test_the_boundary_holds_back_nothing_that_is_needed(accounts: dict[str, Account], run: str, role: str) -> None:
    assert accounts[run].roles[role].boundary == BOUNDARY
    lines = lines_of(ROLES[run][role], role)
    needed = [request for request in questions(lines, []) if is_expected(request, lines)]
    # What the roles touch bears the project's tag, from default_tags.
    tagged = [
        request._replace(context=request.context | {("aws:ResourceTag/Project", "dogbreed")}) for request in needed
    ]
    answers = verdicts(tagged, accounts[run], accounts["bootstrap"].policies[BOUNDARY])
    possible = {"Allowed", "no.resource.types"}
    assert [pair for pair in zip(needed, answers, strict=True) if pair[1] not in possible] == []
    assert {request.action for request, answer in zip(needed, answers, strict=True) if answer == "Allowed"} == {
        line.action for line in lines
    }


def test_nothing_beyond_the_boundary_is_ever_allowed(accounts: dict[str, Account]) -> None:
    """Whatever somebody writes into a role below it."""
    everything = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    role = f"{PREFIX}-training"
    mighty = replace(accounts["defaults"].roles[role], policies=[everything])
    account = replace(accounts["defaults"], roles={role: mighty})
    asked = [
        Request(role, action, resource)
        for action, resource in (
            ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/any"),
            ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/any"),
            ("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/{role}"),
            ("s3:GetObject", f"arn:aws:s3:::terraform-state-{ACCOUNT}/dogbreed/local.tfstate"),
            ("s3:DeleteObjectVersion", f"{DATA}/any"),
            ("s3:PutBucketPolicy", DATA),
            ("ssm:PutParameter", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/dogbreed/local/releases"),
            ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/dogbreed-apply-local"),
        )
    ]
    assert set(verdicts(asked, account)) == {"Allowed"}
    assert set(verdicts(asked, account, accounts["bootstrap"].policies[BOUNDARY])) == {"ImplicitlyDenied"}


def test_a_call_that_no_policy_allows_is_found(accounts: dict[str, Account]) -> None:
    """What the end-to-end test relies on."""
    role = f"{PREFIX}-training"
    calls = [
        {"action": "s3:GetObject", "resource": f"{DATA}/datasets/dogs/train/corgi/1.jpg", "context": {}},
        {"action": "s3:DeleteObject", "resource": f"{DATA}/datasets/dogs/train/corgi/1.jpg", "context": {}},
        {"action": "s3:ListBucket", "resource": DATA, "context": {"s3:prefix": "models/"}},
    ]
    lines = [json.dumps({"role": f"arn:aws:iam::{ACCOUNT}:role/{role}", "count": 1, **call}) for call in calls]
    found = recorded("\n".join(lines))
    assert [request.action for request, _ in refused(found, accounts["defaults"])] == [
        "s3:DeleteObject",
        "s3:ListBucket",
    ]
    assert "kms:Decrypt" in never_called(found, accounts["defaults"])[role]
    assert "s3:GetObject" not in never_called(found, accounts["defaults"])[role]


def test_what_only_aws_calls_is_allowed_at_all(accounts: dict[str, Account]) -> None:
    """A line that outlives its permission would hide the next one that nobody uses."""
    allowed = never_called(set(), accounts["defaults"])
    assert {role: actions - allowed[role] for role, actions in only_on_aws().items()} == {
        role: set() for role in allowed
    }

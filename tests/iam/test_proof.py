"""That the proof can fail: each way of widening a policy is noticed, by its words and by what AWS would make of it."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.iam.policies import Account, Policy, as_list, statements
from tests.iam.proof import (
    NO_SUCH_TYPE,
    Judgement,
    Request,
    allowed,
    examples,
    is_expected,
    questions,
    role_arn,
    siblings,
    verdicts,
)
from tests.iam.proof import reviewed as lines_of
from tests.iam.reviewed import ACCOUNT, PREFIX
from tests.iam.test_not_more import ROLES

pytestmark = pytest.mark.xdist_group("iam")


def on_everything(statement: dict[str, Any]) -> None:
    statement["Resource"] = "*"


def on_its_siblings(statement: dict[str, Any]) -> None:
    statement["Resource"] = [resource.replace(PREFIX, "dogbreed-*") for resource in as_list(statement["Resource"])]


def in_every_account(statement: dict[str, Any]) -> None:
    statement["Resource"] = [resource.replace(ACCOUNT, "*") for resource in as_list(statement["Resource"])]


def without_condition(statement: dict[str, Any]) -> None:
    statement.pop("Condition", None)


def with_conditions_turned_round(statement: dict[str, Any]) -> None:
    turned = {"StringEquals": "StringNotEquals", "StringLike": "StringNotLike"}
    if "Condition" in statement:
        statement["Condition"] = {turned.get(test, test): keys for test, keys in statement["Condition"].items()}


def mutants(policy: Policy, mutate: Callable[[dict[str, Any]], None]) -> Iterator[Policy]:
    """The policy with one statement changed, for each statement that the change makes another."""
    for number in range(len(statements(policy, "Allow"))):
        mutant = copy.deepcopy(policy)
        mutate(statements(mutant, "Allow")[number])
        if allowed(mutant) != allowed(policy) or (mutate is with_conditions_turned_round and mutant != policy):
            yield mutant


@pytest.mark.parametrize(
    "mutate", [on_everything, on_its_siblings, in_every_account, without_condition, with_conditions_turned_round]
)
@pytest.mark.parametrize(
    "role", [pytest.param(f"{PREFIX}-training", marks=pytest.mark.full), f"{PREFIX}-predict-function"]
)
def test_a_statement_that_was_widened_does_more_than_is_expected(
    accounts: dict[str, Account], role: str, mutate: Callable[[dict[str, Any]], None]
) -> None:
    account = accounts["in_a_network"]
    (policy,) = account.roles[role].policies
    lines = lines_of(ROLES["in_a_network"][role], role)
    own = {example for line in lines for example in examples(line.resource) if example != "*"}
    asked = questions(lines, set().union(*map(siblings, own)))
    widened = {
        f"{role}-{number}": replace(account.roles[role], policies=[mutant])
        for number, mutant in enumerate(mutants(policy, mutate))
    }
    tried = [request._replace(principal=name) for name in widened for request in asked]
    answers = dict(zip(tried, verdicts(tried, replace(account, roles=widened)), strict=True))
    for name, mutant in widened.items():
        assert any(
            Judgement(request, is_expected(request, lines), answers[request._replace(principal=name)]).is_wrong
            for request in asked
            if answers[request._replace(principal=name)] not in NO_SUCH_TYPE
        ), mutant.policies


@pytest.mark.parametrize("role", [f"{PREFIX}-training", f"{PREFIX}-predict-function"])
def test_an_action_that_was_added_is_on_no_list(accounts: dict[str, Account], role: str) -> None:
    (policy,) = accounts["in_a_network"].roles[role].policies
    for added in ("s3:GetBucketAcl", "sagemaker:*", "*"):
        mutant = copy.deepcopy(policy)
        statement = statements(mutant, "Allow")[0]
        statement["Action"] = [*as_list(statement["Action"]), added]
        assert allowed(mutant, role) - lines_of(ROLES["in_a_network"][role], role)


def test_a_trust_without_its_condition_lets_in_more(accounts: dict[str, Account]) -> None:
    role = f"{PREFIX}-training"
    trust = copy.deepcopy(accounts["defaults"].roles[role].trust)
    del statements(trust, "Allow")[0]["Condition"]
    trusting = replace(accounts["defaults"], roles={role: replace(accounts["defaults"].roles[role], trust=trust)})
    request = Request("sagemaker.amazonaws.com", "sts:AssumeRole", role_arn(role))
    assert verdicts([request], accounts["defaults"]) == ["ImplicitlyDenied"]
    assert verdicts([request], trusting) == ["Allowed"]


def test_what_makes_no_sense_is_no_denial(accounts: dict[str, Account]) -> None:
    """A misspelt action would otherwise be "denied" for ever."""
    arn = f"arn:aws:s3:::{PREFIX}-data-{ACCOUNT}/any"
    role = f"{PREFIX}-training"
    asked = [Request(role, "s3:GetObjct", arn), Request(role, "s3:ListBucket", arn)]
    assert verdicts(asked, accounts["defaults"]) == ["invalid.action", "no.resource.types"]

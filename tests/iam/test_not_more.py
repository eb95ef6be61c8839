"""No role may do more than the reviewed list says: by the words of its policies, and by what AWS makes of them."""

from dataclasses import replace
from itertools import chain

import pytest
from policy_sentry.querying.actions import get_actions_for_service, get_actions_that_support_wildcard_arns_only

from tests.iam import reviewed, reviewed_bootstrap
from tests.iam.policies import Account, Role, actions, statements
from tests.iam.proof import Request, allowed, examples, judge, role_arn, siblings, verdicts
from tests.iam.proof import reviewed as lines_of
from tests.iam.reviewed import ACCOUNT, EVERYTHING, PREFIX, SAGEMAKER, TOPIC, Grant

pytestmark = pytest.mark.xdist_group("iam")

# By run of Terraform: role → what it may do there.
ROLES: dict[str, dict[str, list[Grant]]] = {
    "defaults": {role: rows + reviewed.OUTSIDE_A_NETWORK.get(role, []) for role, rows in reviewed.ROLES.items()},
    "in_a_network": {role: rows + reviewed.IN_A_NETWORK.get(role, []) for role, rows in reviewed.ROLES.items()},
    "ec2_run": reviewed.EC2_RUN,
    "bootstrap": reviewed_bootstrap.ROLES,
}
EACH_ROLE = [pytest.param(run, role, id=f"{run}-{role}") for run, roles in ROLES.items() for role in roles]
# The longest list by far takes as long as all others together; its words are compared every day.
TRIED = [
    pytest.param(*each.values, id=each.id, marks=[pytest.mark.full] if "apply" in str(each.id) else [])
    for each in EACH_ROLE
]
# Everything that any role here may touch, and what is nearest to each of them: each role is tried on all of it.
_LINES = [line for roles in ROLES.values() for rows in roles.values() for line in lines_of(rows)]
_OWN = {example for line in _LINES if line.resource != EVERYTHING for example in examples(line.resource)}
UNIVERSE = sorted(_OWN | set(chain.from_iterable(map(siblings, _OWN))))


@pytest.mark.parametrize("run", ROLES)
def test_every_role_is_on_the_list(accounts: dict[str, Account], run: str) -> None:
    assert set(accounts[run].roles) == set(ROLES[run])


@pytest.mark.parametrize(("run", "role"), EACH_ROLE)
def test_a_policy_allows_what_is_on_the_list_word_for_word(accounts: dict[str, Account], run: str, role: str) -> None:
    found = set().union(*(allowed(policy, role) for policy in accounts[run].roles[role].policies))
    listed = lines_of(ROLES[run][role], role)
    assert found - listed == set(), "allowed, and on no list"
    assert listed - found == set(), "on the list, and not allowed"


@pytest.mark.parametrize(("run", "role"), EACH_ROLE)
def test_no_policy_is_aws_s_own_and_none_says_what_it_does_not_mean(
    accounts: dict[str, Account], run: str, role: str
) -> None:
    assert accounts[run].roles[role].managed == []
    for policy in accounts[run].roles[role].policies:
        for statement in statements(policy, "Allow"):
            assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement)


@pytest.mark.parametrize(("run", "role"), EACH_ROLE)
def test_every_action_exists(accounts: dict[str, Account], run: str, role: str) -> None:
    named = {
        action
        for policy in accounts[run].roles[role].policies
        for s in statements(policy, "Allow")
        for action in actions(s)
    }
    services = {action.split(":")[0] for action in named}
    assert named <= set(chain.from_iterable(map(get_actions_for_service, services)))


@pytest.mark.parametrize(("run", "role"), TRIED)
def test_each_action_is_allowed_where_it_is_needed_and_nowhere_else(
    accounts: dict[str, Account], run: str, role: str
) -> None:
    """On its own resource under its conditions; not with one of them missing or false, and not on anything else."""
    lines = lines_of(ROLES[run][role], role)
    judged = judge(lines, UNIVERSE, accounts[run])
    assert [judgement for judgement in judged if judgement.is_wrong] == []
    actions = {line.action for line in lines}
    assert {judgement.request.action for judgement in judged if judgement.expected} == actions
    unbounded = {line.action for line in lines if line.resource in reviewed.KNOWS_NO_ACCOUNT and not line.when}
    assert {judgement.request.action for judgement in judged if not judgement.expected} >= actions - unbounded


def test_the_function_can_do_one_thing_of_sagemaker(accounts: dict[str, Account]) -> None:
    """Each of SageMaker's actions is tried on everything, and on what bears the endpoint's name."""
    names = ["endpoint", "model", "training-job", "notebook-instance", "endpoint-config"]
    requests = [
        Request(f"{PREFIX}-predict-function", action, resource)
        for action in get_actions_for_service("sagemaker")
        for resource in ["*", *(f"{SAGEMAKER}:{name}/{PREFIX}" for name in names)]
    ]
    answers = verdicts(requests, accounts["defaults"])
    can_do = {request.action for request, verdict in zip(requests, answers, strict=True) if verdict == "Allowed"}
    assert can_do == {"sagemaker:InvokeEndpoint"}


@pytest.mark.parametrize(("run", "role"), EACH_ROLE)
def test_only_what_knows_no_resource_is_allowed_on_all(accounts: dict[str, Account], run: str, role: str) -> None:
    everywhere = {line.action for line in lines_of(ROLES[run][role]) if line.resource == EVERYTHING}
    services = {action.split(":")[0] for action in everywhere}
    without_resource = set(chain.from_iterable(map(get_actions_that_support_wildcard_arns_only, services)))
    assert everywhere - without_resource == set()


# Who may become a role, and who is let in by the resources' own policies


@pytest.mark.parametrize(("run", "role"), EACH_ROLE)
def test_a_role_is_taken_by_those_on_the_list_alone(accounts: dict[str, Account], run: str, role: str) -> None:
    arn = role_arn(role)
    listed = lines_of((reviewed.TRUSTS | reviewed_bootstrap.TRUSTS)[role], owner=arn)
    assert allowed(accounts[run].roles[role].trust, owner=arn) == listed
    judged = judge(listed, [], accounts[run])
    assert [judgement for judgement in judged if judgement.is_wrong] == []
    assert any(judgement.expected for judgement in judged)
    strangers = [
        "lambda.amazonaws.com",
        f"arn:aws:iam::{ACCOUNT}:root",
        "arn:aws:iam::999999999999:root",
        "ec2.amazonaws.com",
    ]
    context = frozenset((key, examples(values[0])[0]) for line in listed for key, values in line.when)
    requests = [
        Request(who, line.action, arn, context) for line in listed for who in strangers if who != line.principal
    ]
    assert set(verdicts(requests, accounts[run])) == {"ImplicitlyDenied"}


@pytest.mark.parametrize("run", ["defaults", "in_a_network"])
def test_resources_let_in_those_on_the_list_alone(accounts: dict[str, Account], run: str) -> None:
    assert set(accounts[run].on_resources) == set(reviewed.ON_RESOURCES)
    for resource, rows in reviewed.ON_RESOURCES.items():
        listed = lines_of(rows, owner=resource)
        assert allowed(accounts[run].on_resources[resource], owner=resource) == listed
        judged = judge({line for line in listed if not line.principal.endswith(":root")}, [], accounts[run])
        assert [judgement for judgement in judged if judgement.is_wrong] == []


@pytest.mark.parametrize("run", ["defaults", "in_a_network", "bootstrap"])
def test_nobody_comes_without_tls(accounts: dict[str, Account], run: str) -> None:
    """Not even who is allowed everything by IAM; the same request with TLS is allowed."""
    actions_by_resource: dict[str, str] = {}
    for resource in accounts[run].on_resources:
        if resource.startswith("arn:aws:s3:"):
            actions_by_resource |= {resource: "s3:ListBucket", f"{resource}/any": "s3:GetObject"}
        elif resource == TOPIC:
            actions_by_resource[TOPIC] = "sns:Publish"
    for tls, verdict in (("true", "Allowed"), ("false", "ExplicitlyDenied")):
        asked = [
            Request("everything", action, on, frozenset({("aws:SecureTransport", tls)}))
            for on, action in actions_by_resource.items()
        ]
        everything = Role(
            trust={},
            policies=[{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}],
        )
        account = replace(accounts[run], roles={"everything": everything})
        assert set(verdicts(asked, account)) == {verdict}

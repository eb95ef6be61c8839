"""From a list of permissions: what it says word for word, and the requests that show whether policies do as it says."""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from policy_sentry.analysis.expand import expand

from tests.iam.policies import Account, Policy, actions, as_list, conditions, statements
from tests.iam.reviewed import ACCOUNT, PREFIX, Grant, Trust

HERE = Path(__file__).parent
NO_SUCH_TYPE = {"no.resource.types", "must.use.wildcard"}  # said where an action does not know this type of resource


class Line(NamedTuple):
    """One action on one resource (pattern); `when` holds (condition key, its allowed values)."""

    principal: str
    action: str
    resource: str
    when: frozenset[tuple[str, tuple[str, ...]]]


class Request(NamedTuple):
    principal: str
    action: str
    resource: str
    context: frozenset[tuple[str, str]] = frozenset()


class Judgement(NamedTuple):
    request: Request
    expected: bool
    verdict: str

    @property
    def is_wrong(self) -> bool:
        return self.verdict != "Allowed" if self.expected else not self.verdict.endswith("Denied")


def allowed(policy: Policy, holder: str = "", owner: str = "") -> set[Line]:
    """What a policy allows: that of the role `holder`, or the own policy of the resource `owner`."""
    return {
        Line(principal, action, owner if resource == "*" and owner else resource, _frozen(conditions(statement)))
        for statement in statements(policy, "Allow")
        for principal in _principals(statement, holder)
        for action in actions(statement)
        for resource in as_list(statement.get("Resource", owner))
    }


def reviewed(rows: Iterable[Grant | Trust], holder: str = "", owner: str = "") -> set[Line]:
    return {
        Line(principal, action, resource, _frozen({key: value.split() or [""] for key, value in row.when.items()}))
        for row in rows
        for principal in (row.principals.split() if isinstance(row, Trust) else [holder])
        for pattern in row.actions.split()
        for action in expand(pattern)
        for resource in (row.resources or owner).split()
    }


def _frozen(when: dict[str, list[str]]) -> frozenset[tuple[str, tuple[str, ...]]]:
    return frozenset((key, tuple(sorted(values))) for key, values in when.items())


def _principals(statement: dict[str, Any], holder: str) -> list[str]:
    if "Principal" not in statement:
        return [holder]
    principals = statement["Principal"]
    return ["*"] if principals == "*" else list(chain.from_iterable(map(as_list, principals.values())))


def examples(pattern: str) -> list[str]:
    """Things that a pattern stands for. Where it covers two types of resource there is one of each."""
    if pattern == "*":
        return ["*"]
    if ":log-group:" in pattern and pattern.endswith(":*"):
        pattern = pattern.removesuffix("*") + "log-stream:*"
    example = pattern.replace("*", "any")
    return [example, f"{example}:live"] if ":function:" in example else [example]


def siblings(resource: str) -> set[str]:
    """What is nearest to a resource and is not it: in another account, region, environment, project, bucket folder."""
    start, slash, rest = resource.partition("/")
    return {
        resource.replace(ACCOUNT, "999999999999"),
        resource.replace("us-east-1", "eu-west-1"),
        resource.replace(PREFIX, "dogbreed-prod").replace("dogbreed/local", "dogbreed/prod"),
        resource.replace("dogbreed", "catbreed"),
        f"{start}{slash}other-{rest}" if slash else f"{resource}-other",
    } - {resource}


def is_expected(request: Request, lines: Iterable[Line]) -> bool:
    context = dict(request.context)
    return any(
        (request.principal, request.action) == (line.principal, line.action)
        and fnmatchcase(request.resource, line.resource)
        and all(any(fnmatchcase(context.get(key, ""), value) for value in values) for key, values in line.when)
        for line in lines
    )


def requests(line: Line, others: Iterable[str]) -> list[Request]:
    """`line` used as it is meant; then with each condition missing and each false; then on everything else.

    A condition is met by each of its values in turn.
    """
    context = {key: examples(values[0])[0] for key, values in line.when}
    contexts = [context]
    for key, values in line.when:
        contexts += [context | {key: examples(value)[0]} for value in values[1:]]
        contexts += [context | {key: ""}, context | {key: "other"}]
    service = (f"::{line.action}" if line.resource == "*" else line.resource).split(":")[2]
    tried = [(own, each) for own in examples(line.resource) for each in contexts]
    tried += [(other, context) for other in others if other.split(":")[2] == service]
    return [Request(line.principal, line.action, resource, frozenset(each.items())) for resource, each in tried]


def questions(lines: Iterable[Line], others: Iterable[str]) -> list[Request]:
    return list(dict.fromkeys(chain.from_iterable(requests(line, others) for line in lines)))


def verdicts(asked: Sequence[Request], account: Account, boundary: Policy | None = None) -> list[str]:
    """What AWS would say to each request. A principal that is a role of the account has that role's policies."""
    identities = {
        name: {f"{name} {number}": policy for number, policy in enumerate(role.policies)}
        for name, role in account.roles.items()
    }
    trusts = {role_arn(name): role.trust for name, role in account.roles.items()}
    on_resources = account.on_resources | trusts
    named = {name: policy for identity in identities.values() for name, policy in identity.items()}
    question = {
        "policies": {"boundary": boundary, **on_resources, **named},
        "requests": [
            {
                "principal": role_arn(request.principal) if request.principal in identities else request.principal,
                "action": request.action,
                "resource": request.resource,
                "context": {key: value for key, value in request.context if value},
                "identity": list(identities.get(request.principal, [])),
                "boundary": "boundary" if boundary else None,
                "onResource": _owner(request, on_resources),
            }
            for request in asked
        ],
    }
    node = Path(sys.executable).with_name("node")
    done = subprocess.run(
        [node, HERE / "simulate.mjs"], input=json.dumps(question), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answers: list[str] = json.loads(done.stdout)
    return answers


def role_arn(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def _owner(request: Request, on_resources: dict[str, Policy]) -> str | None:
    """The resource whose own policy has a say. A key that is not ours has one like ours: it lets IAM decide."""
    resource = request.resource
    if ":kms:" in resource and resource not in on_resources:
        return next((arn for arn in on_resources if ":kms:" in arn), None)
    owner = resource.partition("/")[0] if ":s3:::" in resource else resource
    is_trust = ":role/" in owner
    return owner if owner in on_resources and is_trust == request.action.startswith("sts:") else None


def judge(lines: set[Line], others: Iterable[str], account: Account) -> list[Judgement]:
    """Every request that `lines` and `others` give rise to, as the list would have it and as AWS would."""
    asked = questions(lines, others)
    return [
        Judgement(request, is_expected(request, lines), verdict)
        for request, verdict in zip(asked, verdicts(asked, account), strict=True)
        if verdict not in NO_SUCH_TYPE
    ]

"""Whether policies allow what was really called. The end-to-end test asks, with what the stand-in recorded."""

import json

from tests.iam.policies import Account
from tests.iam.proof import Request, allowed, verdicts
from tests.iam.reviewed import ONLY_ON_AWS


def recorded(lines: str) -> set[Request]:
    """What roles called, from the stand-in's record (local_aws/calls)."""
    calls = set()
    for call in map(json.loads, lines.splitlines()):
        context = call["context"] | {"aws:SecureTransport": "true"}  # AWS would add it
        if call["action"] in ("kms:Decrypt", "kms:GenerateDataKey"):  # what the boundary asks of the key
            context["aws:ResourceTag/Project"] = "dogbreed"
        # AWS asks about a group without a name here, and its own list says that the action knows no resource.
        resource = "*" if call["action"] == "logs:DescribeLogGroups" else call["resource"]
        calls.add(Request(call["role"].split("/")[-1], call["action"], resource, frozenset(context.items())))
    return calls


def refused(calls: set[Request], account: Account) -> list[tuple[Request, str]]:
    """(request, verdict) of what was called and is not allowed."""
    asked = sorted(calls, key=str)
    return [
        (request, verdict)
        for request, verdict in zip(asked, verdicts(asked, account), strict=True)
        if verdict != "Allowed"
    ]


def never_called(calls: set[Request], account: Account) -> dict[str, set[str]]:
    """Name of role → actions that it is allowed, and that it never called."""
    return {
        name: {line.action for policy in role.policies for line in allowed(policy)}
        - {request.action for request in calls if request.principal == name}
        for name, role in account.roles.items()
    }


def only_on_aws() -> dict[str, set[str]]:
    """The reviewed list of them: name of role → actions."""
    return {role: {action for names in rows for action in names.split()} for role, rows in ONLY_ON_AWS.items()}

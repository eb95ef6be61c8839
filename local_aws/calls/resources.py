"""Which resources IAM looks at for a request, by their ARNs ("*" where an action knows none), and their tags.

Where a resource is only being made, IAM is asked about its type: subnet/*.
"""

import re
from collections.abc import Callable
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends

from local_aws.environment import ACCOUNT_ID, REGION

Parameters = dict[str, Any]
Named = list[tuple[str, dict[str, str]]]  # ARN, and condition keys that are this resource's own

_HERE = f"{REGION}:{ACCOUNT_ID}"
_IAM = f"arn:aws:iam::{ACCOUNT_ID}"

_SAGEMAKER = {
    "EndpointConfigName": "endpoint-config",
    "EndpointName": "endpoint",
    "HyperParameterTuningJobName": "hyper-parameter-tuning-job",
    "ModelName": "model",
    "NotebookInstanceLifecycleConfigName": "notebook-instance-lifecycle-config",
    "NotebookInstanceName": "notebook-instance",
    "TrainingJobName": "training-job",
}
# By the beginning of an identifier.
_EC2_KINDS = {
    "eni": "network-interface",
    "i": "instance",
    "lt": "launch-template",
    "rtb": "route-table",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "subnet": "subnet",
    "vol": "volume",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
}
_EC2_ID = re.compile(r"([a-z]+)-[0-9a-f]{8,}")
_EC2_MADE = {
    "AuthorizeSecurityGroupEgress": ("security-group-rule",),
    "AuthorizeSecurityGroupIngress": ("security-group-rule",),
    "CreateLaunchTemplate": ("launch-template",),
    "CreateRouteTable": ("route-table",),
    "CreateSecurityGroup": ("security-group",),
    "CreateSubnet": ("subnet",),
    "CreateVpc": ("vpc",),
    "CreateVpcEndpoint": ("vpc-endpoint",),
    "RunInstances": ("instance", "network-interface", "volume"),
}


def named(prefix: str, operation: str, parameters: Parameters) -> Named:
    """The resources of a request, each with its own condition keys."""
    find = _FINDERS.get(prefix)
    found = find(operation, parameters) if find else []
    return found or [("*", {})]


def tagged(prefix: str, operation: str, parameters: Parameters) -> list[str]:
    """The resources that a request tags."""
    if prefix == "ec2" and operation in _EC2_MADE:
        kinds = {item["ResourceType"] for item in parameters.get("TagSpecifications", [])}
        return [f"arn:aws:ec2:{_HERE}:{kind}/*" for kind in sorted(kinds)]
    if f"{prefix}:{operation}" == "kms:CreateKey":
        return [f"arn:aws:kms:{_HERE}:key/*"]
    arns = [arn for arn, _ in named(prefix, operation, parameters)]
    if prefix == "logs":  # tags are the one thing that is asked by the plain ARN
        return [arn.removesuffix(":log-stream:") for arn in arns]
    return arns[:1]  # a request makes one thing, whatever else it names


def passed_role(value: Any) -> str | None:
    """ARN of the role behind a parameter: its ARN, its name, or an instance profile."""
    if isinstance(value, dict):
        name = value.get("Name") or str(value.get("Arn", "")).rsplit("/", 1)[-1]
        profiles = iam_backends[ACCOUNT_ID]["aws"].instance_profiles.values()
        return next((role.arn for item in profiles if item.name == name for role in item.roles), None)
    if value and ":" not in value:
        return _role(value)[0]
    return value or None


def with_launch_template(parameters: Parameters) -> Parameters:
    """What RunInstances launches: its own parameters over those of the launch template that it names."""
    if not (asked := parameters.get("LaunchTemplate")):
        return parameters
    backend = ec2_backends[ACCOUNT_ID][REGION]
    try:
        template = backend._get_template_from_args(asked)
    except EC2ClientError:  # there is none: RunInstances will say so
        return parameters
    return {**template.data, **parameters, "LaunchTemplateId": template.template.id}


def image_parameter(parameters: Parameters) -> str | None:
    """ARN of the public parameter that names the machine image, where one does (resolve:ssm:<name>)."""
    image = parameters.get("ImageId") or ""
    return parameter_arn(image.removeprefix("resolve:ssm:")) if image.startswith("resolve:ssm:") else None


def _all(parameters: Parameters, *names: str) -> list[str]:
    """Every value of these parameters, of which some are lists."""
    values = [parameters[name] for name in names if parameters.get(name)]
    return [item for value in values for item in (value if isinstance(value, list) else [value])]


def _plain(*arns: str) -> Named:
    return [(arn, {}) for arn in arns]


def _autoscaling(operation: str, parameters: Parameters) -> Named:
    if operation.startswith("Describe"):
        return []
    # The service names a target by a number of its own, which the caller does not know.
    return _plain(parameters.get("ResourceARN") or f"arn:aws:application-autoscaling:{_HERE}:scalable-target/*")


def _budgets(_: str, parameters: Parameters) -> Named:
    name = parameters.get("BudgetName") or parameters.get("Budget", {}).get("BudgetName")
    arn = parameters.get("ResourceARN")
    return _plain(arn or f"arn:aws:budgets::{ACCOUNT_ID}:budget/{name or '*'}")


def _cloudwatch(operation: str, parameters: Parameters) -> Named:
    alarms = [f"arn:aws:cloudwatch:{_HERE}:alarm:{name}" for name in _all(parameters, "AlarmName", "AlarmNames")]
    boards = _all(parameters, "DashboardName", "DashboardNames")
    dashboards = [f"arn:aws:cloudwatch::{ACCOUNT_ID}:dashboard/{name}" for name in boards]
    if operation == "DescribeAlarms" and not alarms:
        alarms = [f"arn:aws:cloudwatch:{_HERE}:alarm:*"]
    return _plain(*alarms, *dashboards, *_all(parameters, "ResourceARN"))


def _codebuild(_: str, parameters: Parameters) -> Named:
    projects = _all(parameters, "name", "names", "projectName")
    return _plain(*(name if ":" in name else f"arn:aws:codebuild:{_HERE}:project/{name}" for name in projects))


def _ec2(operation: str, parameters: Parameters) -> Named:
    if operation.startswith(("Describe", "Get")) and operation != "DescribeVpcAttribute":
        return []
    made: Named = [(f"arn:aws:ec2:{_HERE}:{kind}/*", {}) for kind in _EC2_MADE.get(operation, ())]
    existing: Named = []
    backend = ec2_backends[ACCOUNT_ID][REGION]
    # Only what the request names itself: a group inside a rule is not asked about.
    values = _all(parameters, *parameters)
    if association := parameters.get("AssociationId"):
        values += [
            item["RouteTableId"]
            for table in backend.route_tables.values()
            for item in table.associations
            if item["RouteTableAssociationId"] == association
        ]
    for value in values:
        match = _EC2_ID.fullmatch(value) if isinstance(value, str) else None
        # A rule is revoked from its group: IAM is asked about the group alone.
        if match and match[1] in _EC2_KINDS and not (match[1] == "sgr" and operation.startswith("Revoke")):
            tags = backend.tags.get(value, {})
            context = {f"aws:ResourceTag/{key}": text for key, text in tags.items()}
            existing.append((f"arn:aws:ec2:{_HERE}:{_EC2_KINDS[match[1]]}/{value}", context))
    return made + existing


def _ecr(_: str, parameters: Parameters) -> Named:
    repositories = _all(parameters, "repositoryName", "repositoryNames")
    arns = [f"arn:aws:ecr:{_HERE}:repository/{name}" for name in repositories]
    return _plain(*arns, *_all(parameters, "resourceArn"))


def _iam(operation: str, parameters: Parameters) -> Named:
    if profile := parameters.get("InstanceProfileName"):
        return _plain(f"{_IAM}:instance-profile/{profile}")
    if name := parameters.get("RoleName"):
        arn, boundary = _role(name)
        # The boundary that the role has; one that is being set comes with the request.
        return [(arn, {"iam:PermissionsBoundary": boundary} if boundary and operation != "CreateRole" else {})]
    if operation == "CreatePolicy":
        return _plain(f"{_IAM}:policy/{parameters['PolicyName']}")
    if operation == "CreateOpenIDConnectProvider":
        return _plain(f"{_IAM}:oidc-provider/{parameters['Url'].removeprefix('https://')}")
    return _plain(*_all(parameters, "PolicyArn", "OpenIDConnectProviderArn"))


def _role(name: str) -> tuple[str, str | None]:
    """(ARN, permissions boundary) of a role, which need not be there yet."""
    try:
        role = iam_backends[ACCOUNT_ID]["aws"].get_role(name)
    except NotFoundException:
        return f"{_IAM}:role/{name}", None
    return role.arn, role.permissions_boundary_arn


def _kms(operation: str, parameters: Parameters) -> Named:
    if operation == "CreateKey":
        return []
    backend = kms_backends[ACCOUNT_ID][REGION]
    aliases = _all(parameters, "AliasName")
    found = [(f"arn:aws:kms:{_HERE}:{alias}", dict[str, str]()) for alias in aliases]
    for name in _all(parameters, "KeyId", "TargetKeyId") or aliases:
        key = backend.keys.get(backend.any_id_to_key_id(name))
        if key:
            tags = backend.tagger.get_tag_dict_for_resource(key.id)
            found.append((key.arn, {f"aws:ResourceTag/{tag}": text for tag, text in tags.items()}))
    return found


def _lambda(_: str, parameters: Parameters) -> Named:
    if arn := parameters.get("Resource") or parameters.get("ResourceArn"):
        return _plain(arn)
    if not (name := parameters.get("FunctionName")):
        return []
    arn = name if name.startswith("arn:") else f"arn:aws:lambda:{_HERE}:function:{name}"
    qualifier = parameters.get("Qualifier")
    return _plain(f"{arn}:{qualifier}" if qualifier else arn)


def _logs(operation: str, parameters: Parameters) -> Named:
    if arn := parameters.get("resourceArn"):
        return _plain(arn.removesuffix(":*"))
    # A group is asked about with an empty stream, and no group as an empty group.
    group = parameters.get("logGroupName") or ""
    return _plain(f"arn:aws:logs:{_HERE}:log-group:{group}:log-stream:{parameters.get('logStreamName') or ''}")


def _sagemaker(_: str, parameters: Parameters) -> Named:
    arns = [
        f"arn:aws:sagemaker:{_HERE}:{kind}/{parameters[name]}"
        for name, kind in _SAGEMAKER.items()
        if name in parameters
    ]
    return _plain(*arns, *_all(parameters, "ResourceArn"))


def _sns(operation: str, parameters: Parameters) -> Named:
    if operation == "CreateTopic":
        return _plain(f"arn:aws:sns:{_HERE}:{parameters['Name']}")
    return _plain(*_all(parameters, "TopicArn", "ResourceArn"))


def _ssm(_: str, parameters: Parameters) -> Named:
    is_parameter = parameters.get("ResourceType") == "Parameter"
    names = _all(parameters, "Name", "Names", *(["ResourceId"] if is_parameter else []))
    return _plain(*(parameter_arn(name) for name in names))


def parameter_arn(name: str) -> str:
    account = "" if name.startswith("/aws/") else ACCOUNT_ID  # AWS's public ones belong to no account
    return f"arn:aws:ssm:{REGION}:{account}:parameter/{name.removeprefix('/')}"


def _sts(_: str, parameters: Parameters) -> Named:
    return _plain(*_all(parameters, "RoleArn"))


_FINDERS: dict[str, Callable[[str, Parameters], Named]] = {
    "application-autoscaling": _autoscaling,
    "budgets": _budgets,
    "cloudwatch": _cloudwatch,
    "codebuild": _codebuild,
    "ec2": _ec2,
    "ecr": _ecr,
    "iam": _iam,
    "kms": _kms,
    "lambda": _lambda,
    "logs": _logs,
    "sagemaker": _sagemaker,
    "sns": _sns,
    "ssm": _ssm,
    "sts": _sts,
}

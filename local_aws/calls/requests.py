"""From a request to what IAM would be asked about it: actions, resources and condition keys."""

import io
from typing import Any, NamedTuple

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from moto.s3.models import s3_backends

from local_aws.calls import names, resources
from local_aws.environment import ACCOUNT_ID, REGION

Context = tuple[tuple[str, str], ...]


class Call(NamedTuple):
    """One question to IAM."""

    action: str
    resource: str = "*"
    context: Context = ()


def calls_of(environ: dict[str, Any], service: str) -> list[Call]:
    """What a signed request needs. `service` is the name that it is signed for."""
    service = names.SERVICES.get(service, service)
    if service == "sagemaker" and environ["PATH_INFO"].startswith("/endpoints/"):
        service = "sagemaker-runtime"
    operation, parameters = _parse(environ, service)
    prefix = names.PREFIXES.get(service, service)
    if f"{prefix}:{operation}" in names.NEVER_DENIED:
        return []
    if prefix == "s3":
        return _bucket_calls(operation, parameters)
    if operation == "RunInstances":
        parameters = resources.with_launch_template(parameters)

    context = _context(prefix, operation, parameters)
    calls = [
        Call(f"{prefix}:{names.action(prefix, operation)}", arn, _sorted({**context, **tags}))
        for arn, tags in resources.named(prefix, operation, parameters)
    ]
    if (tags := _request_tags(parameters)) and (tagging := names.tagging_action(prefix, operation)):
        create = {"ec2:CreateAction": operation} if prefix == "ec2" and operation != tagging else {}
        for arn in resources.tagged(prefix, operation, parameters):
            calls.append(Call(f"{prefix}:{tagging}", arn, _sorted({**tags, **create})))
    if passed := names.PASSED_ROLES.get(f"{prefix}:{operation}"):
        parameter, to = passed
        outer, _, inner = parameter.rpartition(".")
        if role := resources.passed_role((parameters.get(outer, {}) if outer else parameters).get(inner)):
            calls.append(Call("iam:PassRole", role, (("iam:PassedToService", to),)))
    if operation == "RunInstances" and (public := resources.image_parameter(parameters)):
        calls.append(Call("ssm:GetParameters", public))
    return calls


def object_calls(operation: str, bucket: str, key: str, version: str | None = None) -> list[Call]:
    """What reading, writing or deleting an object needs, its bucket's key included."""
    action = names.action("s3", operation)
    if version and operation in ("DeleteObject", "DeleteObjects", "GetObject", "HeadObject"):
        action += "Version"
    calls = [Call(f"s3:{action}", f"arn:aws:s3:::{bucket}/{key}")]
    if key_arn := _key_of(bucket):
        via = (("kms:ViaService", f"s3.{REGION}.amazonaws.com"),)
        calls += [Call(f"kms:{use}", key_arn, via) for use in names.KEY_USES.get(operation, ())]
    return calls


def put_metric_data(namespace: str) -> Call:
    return Call("cloudwatch:PutMetricData", context=(("cloudwatch:namespace", namespace),))


def _parse(environ: dict[str, Any], service: str) -> tuple[str, dict[str, Any]]:
    """The operation's name and its parameters, as the service's own model names them. Leaves the body to be read."""
    body = b""
    has_parameters = service != "s3" or environ["REQUEST_METHOD"] == "POST"
    if has_parameters:  # else the body is an object
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
    request = Request({**environ, "wsgi.input": io.BytesIO(body)})
    operation, in_path = get_service_router(service).match(request)
    if service == "s3" and operation.name != "DeleteObjects":
        arguments = request.args
        return operation.name, {**in_path, "Prefix": arguments.get("prefix"), "VersionId": arguments.get("versionId")}
    protocol = determine_request_protocol(get_service_model(service), request.content_type)
    parameters = PROTOCOL_PARSERS[protocol](operation).parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": body,
            "url_path": request.path,
            "url_params": in_path,
        }
    )
    return operation.name, parameters


def _bucket_calls(operation: str, parameters: dict[str, Any]) -> list[Call]:
    bucket: str = parameters.get("Bucket", "")
    if operation == "DeleteObjects":
        objects = parameters["Delete"]["Objects"]
        return [
            call for item in objects for call in object_calls(operation, bucket, item["Key"], item.get("VersionId"))
        ]
    if key := parameters.get("Key"):
        return object_calls(operation, bucket, key, parameters.get("VersionId"))
    context: Context = ()
    if operation.startswith("ListObject"):
        context = (("s3:prefix", parameters.get("Prefix") or ""),)
    return [Call(f"s3:{names.action('s3', operation)}", f"arn:aws:s3:::{bucket}" if bucket else "*", context)]


def _key_of(bucket: str) -> str | None:
    """ARN of the key that a bucket is encrypted with by default."""
    found = s3_backends[ACCOUNT_ID]["aws"].buckets.get(bucket)
    if found is None or not found.encryption:
        return None
    rule = found.encryption["Rule"]
    default = (rule[0] if isinstance(rule, list) else rule)["ApplyServerSideEncryptionByDefault"]
    return str(default["KMSMasterKeyID"]) if default["SSEAlgorithm"] == "aws:kms" else None


def _context(prefix: str, operation: str, parameters: dict[str, Any]) -> dict[str, str]:
    """Condition keys that the request itself carries."""
    context = _request_tags(parameters)
    for parameter, key in names.CONTEXT.get(prefix, {}).items():
        if value := parameters.get(parameter):
            context[key] = str(value)
    return context


def _request_tags(parameters: dict[str, Any]) -> dict[str, str]:
    tags: Any = next((parameters[name] for name in names.TAG_PARAMETERS if parameters.get(name)), {})
    if isinstance(tags, list):
        tags = [tag for item in tags for tag in item.get("Tags", [item])]  # of EC2: by resource type
        named = [{name.lower().removeprefix("tag"): text for name, text in tag.items()} for tag in tags]
        tags = {tag["key"]: tag.get("value", "") for tag in named}  # Key, key or TagKey, by service
    return {f"aws:RequestTag/{key}": value for key, value in tags.items()}


def _sorted(context: dict[str, str]) -> Context:
    return tuple(sorted(context.items()))

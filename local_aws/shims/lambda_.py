"""Lambda."""
# mypy: disable-error-code="attr-defined, method-assign"

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from moto.awslambda import urls
from moto.awslambda.exceptions import InvalidParameterValueException, LambdaClientError
from moto.awslambda.models import LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.core.common_types import TYPE_RESPONSE

_LOGGING_UNSET = {"LogFormat": "Text"}


@dataclass
class Provisioned:
    """Execution environments that an alias or a version asked for, and those that are there."""

    wanted: int
    available: int


def provisioned_of(function: LambdaFunction) -> dict[str, Provisioned]:
    """What was asked for, by qualifier. It is kept on the function itself ($LATEST), so that it goes with it."""
    provisioned: dict[str, Provisioned] = vars(function).setdefault("provisioned", {})
    return provisioned


def read_back_logging_config() -> None:
    """Answer a function's LoggingConfig as it was set.

    Moto (up to 5.2.5) drops it, and Terraform would set it again, and publish a version, on every apply.
    """
    create, update = LambdaFunction.__init__, LambdaFunction.update_configuration
    get = LambdaFunction.get_configuration

    def __init__(self: LambdaFunction, account_id: str, spec: dict[str, Any], *rest: Any, **named: Any) -> None:
        create(self, account_id, spec, *rest, **named)
        self.logging_config = spec.get("LoggingConfig") or _LOGGING_UNSET

    def update_configuration(self: LambdaFunction, config_updates: dict[str, Any]) -> dict[str, Any]:
        self.logging_config = config_updates.get("LoggingConfig") or self.logging_config
        return update(self, config_updates)

    def get_configuration(self: LambdaFunction, on_create: bool = False) -> dict[str, Any]:
        group = {"LogGroup": f"/aws/lambda/{self.function_name}"}
        return {**get(self, on_create), "LoggingConfig": {**group, **self.logging_config}}

    LambdaFunction.__init__ = __init__
    LambdaFunction.update_configuration = update_configuration
    LambdaFunction.get_configuration = get_configuration


def add_provisioned_concurrency() -> None:
    """Answer Put, Get, Delete and ListProvisionedConcurrencyConfig; what was asked for counts as ready at once.

    Moto (up to 5.2.5) does not know the path: 404.
    """
    path = r"{0}/(?P<api_version>[^/]+)/functions/(?P<function_name>[\w_:%-]+)/provisioned-concurrency/?$"
    urls.url_paths[path] = LambdaResponse.dispatch
    LambdaResponse.put_provisioned_concurrency_config = _put_provisioned
    LambdaResponse.get_provisioned_concurrency_config = _get_provisioned
    LambdaResponse.delete_provisioned_concurrency_config = _delete_provisioned
    LambdaResponse.list_provisioned_concurrency_configs = _list_provisioned


class _ProvisionedConcurrencyConfigNotFoundError(LambdaClientError):
    code = 404

    def __init__(self) -> None:
        super().__init__(
            "ProvisionedConcurrencyConfigNotFoundException",
            "No Provisioned Concurrency Config found for this function",
        )


def _provisioned(response: LambdaResponse) -> tuple[LambdaFunction, str, dict[str, Provisioned]]:
    """The request's function and qualifier, and what is provisioned of the function."""
    function = response.backend.get_function(unquote(response.path.rsplit("/", 2)[-2]))
    qualifier = response.querystring.get("Qualifier", [""])[0]
    return function, qualifier, provisioned_of(function)


def _put_provisioned(self: LambdaResponse) -> TYPE_RESPONSE:
    function, qualifier, provisioned = _provisioned(self)
    wanted = json.loads(self.body)["ProvisionedConcurrentExecutions"]
    self.backend.get_function(f"{function.function_name}:{qualifier}")  # 404 for an unknown version or alias
    if qualifier == "$LATEST":
        raise InvalidParameterValueException(
            "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
        )
    if function.reserved_concurrency is not None and wanted > int(function.reserved_concurrency):
        raise InvalidParameterValueException(
            "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
        )
    provisioned[qualifier] = Provisioned(wanted, wanted)
    return 202, {}, json.dumps(_describe(function, provisioned[qualifier]))


def _get_provisioned(self: LambdaResponse) -> TYPE_RESPONSE:
    function, qualifier, provisioned = _provisioned(self)
    if qualifier not in provisioned:
        raise _ProvisionedConcurrencyConfigNotFoundError
    return 200, {}, json.dumps(_describe(function, provisioned[qualifier]))


def _delete_provisioned(self: LambdaResponse) -> TYPE_RESPONSE:
    _, qualifier, provisioned = _provisioned(self)
    provisioned.pop(qualifier, None)
    return 204, {}, ""


def _list_provisioned(self: LambdaResponse) -> TYPE_RESPONSE:
    function, _, provisioned = _provisioned(self)
    configs = [
        {"FunctionArn": f"{function.function_arn}:{qualifier}", **_describe(function, environments)}
        for qualifier, environments in provisioned.items()
    ]
    return 200, {}, json.dumps({"ProvisionedConcurrencyConfigs": configs})


def _describe(function: LambdaFunction, environments: Provisioned) -> dict[str, Any]:
    is_ready = environments.available >= environments.wanted
    return {
        "RequestedProvisionedConcurrentExecutions": environments.wanted,
        "AvailableProvisionedConcurrentExecutions": environments.available,
        "AllocatedProvisionedConcurrentExecutions": environments.available,
        "LastModified": function.last_modified,
        **({"Status": "READY"} if is_ready else {"Status": "FAILED", "StatusReason": "FUNCTION_ERROR_INIT_FAILURE"}),
    }

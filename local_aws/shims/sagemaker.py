"""SageMaker, as far as it is bookkeeping: what serves behind an endpoint is the data plane's business."""
# mypy: disable-error-code="attr-defined, method-assign"

from typing import Any, cast

from moto.core.responses import ActionResult
from moto.core.utils import get_service_model, utcnow
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import FakeEndpointConfig
from moto.sagemaker.responses import SageMakerResponse


def know_current_instance_types() -> None:
    """Let an endpoint configuration have any instance type that botocore lists.

    Moto (up to 5.2.5) has a list of its own, which ends with the fifth generation: no ml.c7i.
    """
    known = get_service_model("sagemaker").shape_for("ProductionVariantInstanceType").enum

    def validate_instance_type(self: FakeEndpointConfig, instance_type: str) -> None:
        if instance_type not in known:
            raise ValidationError(
                f"Value '{instance_type}' at 'instanceType' failed to satisfy constraint: "
                f"Member must satisfy enum value set: {known}"
            )

    FakeEndpointConfig.validate_instance_type = validate_instance_type


def read_back_network_isolation() -> None:
    """Answer a model's EnableNetworkIsolation as it was set.

    Moto (up to 5.2.5) always answers false, and Terraform would replace the model on every apply.
    """
    create = SageMakerResponse.create_model

    def create_model(self: SageMakerResponse) -> ActionResult:
        answer = create(self)
        model = self.sagemaker_backend.describe_model(self._get_param("ModelName"))
        model.enable_network_isolation = self._get_param("EnableNetworkIsolation", False)
        return answer

    SageMakerResponse.create_model = create_model


def leave_out_empty_vpc_config() -> None:
    """Leave VpcConfig out of a model that has none.

    Moto (up to 5.2.5) answers {}, which Terraform takes for a block to be removed: it would replace the model on every
    apply.
    """
    describe = SageMakerResponse.describe_model
    SageMakerResponse.describe_model = lambda self: _without_empty(describe(self), "VpcConfig")


def leave_out_empty_data_capture_config() -> None:
    """Leave DataCaptureConfig out of an endpoint configuration that has none.

    Moto (up to 5.2.5) answers {}: the same as with a model's VpcConfig.
    """
    describe = SageMakerResponse.describe_endpoint_config
    SageMakerResponse.describe_endpoint_config = lambda self: _without_empty(describe(self), "DataCaptureConfig")


def _without_empty(answer: ActionResult, field: str) -> ActionResult:
    result = cast(dict[str, Any], answer.result)
    return ActionResult({key: value for key, value in result.items() if key != field or value})


def read_back_deployment_config() -> None:
    """Answer the DeploymentConfig of CreateEndpoint as LastDeploymentConfig.

    Moto (up to 5.2.5) drops it, and Terraform would replace the endpoint on every apply.
    """
    create = SageMakerResponse.create_endpoint

    def create_endpoint(self: SageMakerResponse) -> ActionResult:
        answer = create(self)
        endpoint = self.sagemaker_backend.endpoints[self._get_param("EndpointName")]
        endpoint.last_deployment_config = self._get_param("DeploymentConfig")
        return answer

    SageMakerResponse.create_endpoint = create_endpoint


def add_update_endpoint() -> None:
    """Answer UpdateEndpoint: another configuration from now on. The status is left as it is.

    Moto (up to 5.2.5) has no UpdateEndpoint: 500.
    """

    def update_endpoint(self: SageMakerResponse) -> ActionResult:
        backend = self.sagemaker_backend
        name, config_name = self._get_param("EndpointName"), self._get_param("EndpointConfigName")
        backend.describe_endpoint(name)  # ValidationException for an unknown one; so does the next line
        config = backend.describe_endpoint_config(config_name)
        endpoint = backend.endpoints[name]
        endpoint.endpoint_config_name = config_name
        endpoint.production_variants = endpoint._process_production_variants(config["ProductionVariants"])
        endpoint.last_modified_time = utcnow()
        if deployment := self._get_param("DeploymentConfig"):
            endpoint.last_deployment_config = deployment
        return ActionResult({"EndpointArn": endpoint.arn})

    SageMakerResponse.update_endpoint = update_endpoint

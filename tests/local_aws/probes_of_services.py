"""What AWS does, and plain moto does not, in the services that the product runs on: SageMaker and Lambda."""

import io
import zipfile
from typing import Any

from local_aws import shims
from tests.local_aws.probing import client, error_code, probe

ROLE = "arn:aws:iam::123456789012:role/dogs"
DEPLOYMENT = {
    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 300},
        "TerminationWaitInSeconds": 300,
    },
}


@probe(shims.autoscaling.add_tags_of_scalable_targets)
def tags_of_scalable_targets() -> None:
    scaling = client("application-autoscaling")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/dogs/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "MinCapacity": 1,
        "MaxCapacity": 3,
    }
    arn = scaling.register_scalable_target(**target, Tags={"Project": "dogbreed"})["ScalableTargetARN"]
    scaling.register_scalable_target(**target)  # a change of bounds leaves the tags
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"Project": "dogbreed"}
    scaling.tag_resource(ResourceARN=arn, Tags={"Commit": "abc"})
    scaling.untag_resource(ResourceARN=arn, TagKeys=["Project"])
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"Commit": "abc"}


@probe(shims.lambda_.add_provisioned_concurrency)
def provisioned_concurrency() -> None:
    functions = _function()
    version = functions.publish_version(FunctionName="dogs")["Version"]
    functions.create_alias(FunctionName="dogs", Name="live", FunctionVersion=version)
    live = {"FunctionName": "dogs", "Qualifier": "live"}
    absent = "ProvisionedConcurrencyConfigNotFoundException"
    assert error_code(functions.get_provisioned_concurrency_config, **live) == absent
    functions.put_provisioned_concurrency_config(**live, ProvisionedConcurrentExecutions=2)
    config = functions.get_provisioned_concurrency_config(**live)
    assert (config["Status"], config["AvailableProvisionedConcurrentExecutions"]) == ("READY", 2)
    (listed,) = functions.list_provisioned_concurrency_configs(FunctionName="dogs")["ProvisionedConcurrencyConfigs"]
    assert listed["FunctionArn"].endswith(":function:dogs:live")
    functions.put_function_concurrency(FunctionName="dogs", ReservedConcurrentExecutions=5)
    put = functions.put_provisioned_concurrency_config
    assert error_code(put, **live, ProvisionedConcurrentExecutions=6) == "InvalidParameterValueException"
    latest = {"FunctionName": "dogs", "Qualifier": "$LATEST", "ProvisionedConcurrentExecutions": 1}
    assert error_code(put, **latest) == "InvalidParameterValueException"
    functions.delete_provisioned_concurrency_config(**live)
    assert error_code(functions.get_provisioned_concurrency_config, **live) == absent


@probe(shims.lambda_.read_back_logging_config)
def logging_config() -> None:
    wanted = {"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "WARN", "LogGroup": "/dogs"}
    functions = _function(LoggingConfig=wanted)
    assert functions.get_function_configuration(FunctionName="dogs")["LoggingConfig"] == wanted
    functions.update_function_configuration(FunctionName="dogs", LoggingConfig={**wanted, "SystemLogLevel": "INFO"})
    version = functions.publish_version(FunctionName="dogs")
    assert version["LoggingConfig"]["SystemLogLevel"] == "INFO"


@probe(shims.notebooks.add_tags_of_lifecycle_configurations)
def tags_of_a_lifecycle_configuration() -> None:
    tags = [{"Key": "Project", "Value": "dogbreed"}]
    made = client("sagemaker").create_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName="dogs", Tags=tags
    )
    arn = made["NotebookInstanceLifecycleConfigArn"]
    assert client("sagemaker").list_tags(ResourceArn=arn)["Tags"] == tags


@probe(shims.notebooks.list_lifecycle_configurations)
def list_of_lifecycle_configurations() -> None:
    sagemaker = client("sagemaker")
    sagemaker.create_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName="dogs")
    (listed,) = sagemaker.list_notebook_instance_lifecycle_configs()["NotebookInstanceLifecycleConfigs"]
    assert listed["NotebookInstanceLifecycleConfigName"] == "dogs"


@probe(shims.notebooks.read_back_platform_and_metadata_service)
def platform_of_a_notebook() -> None:
    sagemaker = client("sagemaker")
    wanted = {
        "PlatformIdentifier": "notebook-al2-v3",
        "InstanceMetadataServiceConfiguration": {"MinimumInstanceMetadataServiceVersion": "2"},
    }
    sagemaker.create_notebook_instance(NotebookInstanceName="dogs", InstanceType="ml.t3.medium", RoleArn=ROLE, **wanted)
    described = sagemaker.describe_notebook_instance(NotebookInstanceName="dogs")
    assert {name: described.get(name) for name in wanted} == wanted


@probe(shims.sagemaker.add_update_endpoint)
def update_endpoint() -> None:
    sagemaker = _endpoint_config("one")
    _endpoint_config("two", InitialInstanceCount=2)
    sagemaker.create_endpoint(EndpointName="dogs", EndpointConfigName="one")
    before = sagemaker.describe_endpoint(EndpointName="dogs")
    sagemaker.update_endpoint(EndpointName="dogs", EndpointConfigName="two")
    after = sagemaker.describe_endpoint(EndpointName="dogs")
    assert (after["EndpointConfigName"], after["EndpointStatus"]) == ("two", before["EndpointStatus"])
    assert after["ProductionVariants"][0]["DesiredInstanceCount"] == 2
    assert after["LastModifiedTime"] >= before["LastModifiedTime"]
    update = sagemaker.update_endpoint
    assert error_code(update, EndpointName="cats", EndpointConfigName="two") == "ValidationException"
    assert error_code(update, EndpointName="dogs", EndpointConfigName="three") == "ValidationException"
    assert sagemaker.describe_endpoint(EndpointName="dogs")["EndpointConfigName"] == "two"


@probe(shims.sagemaker.know_current_instance_types)
def current_instance_types() -> None:
    sagemaker = _endpoint_config("one", InstanceType="ml.c7i.large")
    (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName="one")["ProductionVariants"]
    assert variant["InstanceType"] == "ml.c7i.large"
    unknown = {"VariantName": "AllTraffic", "ModelName": "dogs", "InstanceType": "ml.c99.large"}
    create = sagemaker.create_endpoint_config
    assert error_code(create, EndpointConfigName="two", ProductionVariants=[unknown]) == "ValidationException"


@probe(shims.sagemaker.leave_out_empty_data_capture_config)
def no_data_capture_config() -> None:
    sagemaker = _endpoint_config("one")
    assert "DataCaptureConfig" not in sagemaker.describe_endpoint_config(EndpointConfigName="one")
    sagemaker.create_endpoint(EndpointName="dogs", EndpointConfigName="one")  # moto reads the field there


@probe(shims.sagemaker.leave_out_empty_vpc_config)
def no_vpc_config() -> None:
    sagemaker = client("sagemaker")
    sagemaker.create_model(ModelName="dogs", ExecutionRoleArn=ROLE)
    assert "VpcConfig" not in sagemaker.describe_model(ModelName="dogs")


@probe(shims.sagemaker.read_back_deployment_config)
def deployment_config() -> None:
    sagemaker = _endpoint_config("one")
    sagemaker.create_endpoint(EndpointName="dogs", EndpointConfigName="one", DeploymentConfig=DEPLOYMENT)
    assert sagemaker.describe_endpoint(EndpointName="dogs")["LastDeploymentConfig"] == DEPLOYMENT


@probe(shims.sagemaker.read_back_network_isolation)
def network_isolation() -> None:
    sagemaker = client("sagemaker")
    sagemaker.create_model(ModelName="dogs", ExecutionRoleArn=ROLE, EnableNetworkIsolation=True)
    assert sagemaker.describe_model(ModelName="dogs")["EnableNetworkIsolation"] is True


def _endpoint_config(name: str, **variant: Any) -> Any:
    sagemaker = client("sagemaker")
    defaults = {
        "VariantName": "AllTraffic",
        "ModelName": "dogs",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_model(ModelName="dogs", ExecutionRoleArn=ROLE)
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[{**defaults, **variant}])
    return sagemaker


def _function(**more: Any) -> Any:
    role = client("iam").create_role(RoleName="dogs", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("handler.py", "def handler(event, context): ...")
    functions = client("lambda")
    functions.create_function(
        FunctionName="dogs",
        Role=role,
        Runtime="python3.13",
        Handler="handler.handler",
        Code={"ZipFile": package.getvalue()},
        **more,
    )
    return functions

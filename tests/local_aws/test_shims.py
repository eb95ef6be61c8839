"""Each shim shown twice: with it the stand-in answers as AWS does, and without it plain moto does not.

Run as a script, this file tries every probe on the moto of its own process (`plain` or `shimmed`) and prints what
failed, so that the shims never touch the moto of the test process.
"""

import io
import json
import os
import subprocess
import sys
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import moto
import pytest
from botocore.exceptions import ClientError

from local_aws import shims

Probe = Callable[[], None]
PROBES: dict[str, Probe] = {}

ROLE = "arn:aws:iam::123456789012:role/dogs"
DEPLOYMENT = {
    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 300},
        "TerminationWaitInSeconds": 300,
    },
}


def probe(shim: Callable[[], None]) -> Callable[[Probe], Probe]:
    """Register what AWS does, and plain moto does not, where `shim` mends it."""

    def register(function: Probe) -> Probe:
        PROBES[shim.__name__] = moto.mock_aws(function)
        return function

    return register


def client(service: str) -> Any:
    return boto3.client(service, region_name="us-east-1")


def error_code(call: Callable[..., Any], **arguments: Any) -> str:
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "no error"


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


@probe(shims.iam.let_requests_count_as_tls)
def upload_under_a_tls_only_policy() -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="a-bucket")
    deny = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "s3:*", "Resource": "arn:aws:s3:::a-bucket/*"}
    for condition, outcome in (({"Bool": {"aws:SecureTransport": "false"}}, "no error"), ({}, "403")):
        policy = {"Version": "2012-10-17", "Statement": [{**deny, "Condition": condition}]}
        s3.put_bucket_policy(Bucket="a-bucket", Policy=json.dumps(policy))
        assert error_code(s3.put_object, Bucket="a-bucket", Key="a", Body=b"a") == outcome


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


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, str | None]]:
    """For "plain" and "shimmed": what went wrong in each probe, or None."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    processes = {
        kind: subprocess.Popen([sys.executable, __file__, kind], stdout=subprocess.PIPE, text=True, env=environment)
        for kind in ("plain", "shimmed")
    }
    return {kind: json.loads(process.communicate()[0]) for kind, process in processes.items()}


@pytest.mark.parametrize("shim", sorted(PROBES))
def test_with_the_shim_the_answer_is_aws_s(shim: str, outcomes: dict[str, dict[str, str | None]]) -> None:
    assert outcomes["shimmed"][shim] is None, outcomes["shimmed"][shim]


@pytest.mark.parametrize("shim", sorted(PROBES))
def test_plain_moto_still_needs_the_shim(shim: str, outcomes: dict[str, dict[str, str | None]]) -> None:
    assert outcomes["plain"][shim], f"moto {moto.__version__} mended what {shim} mends: delete the shim and its probe"


def test_each_shim_has_its_probe() -> None:
    assert {shim.__name__ for shim in shims.ALL} == set(PROBES)


def main(kind: str) -> None:
    if kind == "shimmed":
        shims.install()
        shims.install()  # twice is once
    failures: dict[str, str | None] = {}
    for name, try_it in PROBES.items():
        try:
            try_it()
            failures[name] = None
        except Exception:
            failures[name] = traceback.format_exc()
    print(json.dumps(failures))


if __name__ == "__main__":
    main(sys.argv[1])

"""The function as it is deployed, before an endpoint with a tiny model, on the stand-in of a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_aws.home import REPOSITORY
from ops.function_url import FunctionUrl
from ops.package import function_zip
from tests.conftest import StandInUnderTest, wait_for
from tests.local_aws.deployed import add_url, deployed, signing
from tests.local_aws.tiny_model import pack_tiny_model

NAME = "served"
RESERVED, PROVISIONED = 5, 2
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/dogbreed-test-serving:latest"
VARIABLES = {
    "ENDPOINT_NAME": NAME,
    "MODEL_TIMEOUT_SECONDS": "7",
    "ALLOWED_URL_HOSTS": "",
    "ALLOWED_S3_PREFIXES": "",
    "CORS_ORIGINS": "",
    "METRIC_NAMESPACE": NAME,
}


@contextmanager
def served(stand_in: StandInUnderTest, folder: Path) -> Iterator[FunctionUrl]:
    """The URL of a function that tells red, green and blue apart, with the seed's concurrency."""
    iam, s3, sagemaker = (stand_in.client(service) for service in ("iam", "s3", "sagemaker"))
    role = iam.create_role(RoleName=NAME, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    archive, digest = pack_tiny_model(folder, NAME)
    s3.create_bucket(Bucket=NAME)
    s3.upload_file(str(archive), NAME, "model.tar.gz")
    container = {
        "Image": IMAGE,
        "ModelDataUrl": f"s3://{NAME}/model.tar.gz",
        "Environment": {"MODEL_MANIFEST_SHA256": digest},
    }
    sagemaker.create_model(ModelName=NAME, ExecutionRoleArn=role, PrimaryContainer=container)
    variant = {"VariantName": "AllTraffic", "ModelName": NAME, "InstanceType": "ml.c7i.large"}
    sagemaker.create_endpoint_config(
        EndpointConfigName=NAME, ProductionVariants=[{**variant, "InitialInstanceCount": 1}]
    )
    sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
    wait_for(lambda: sagemaker.describe_endpoint(EndpointName=NAME)["EndpointStatus"] == "InService")
    settings = {
        "Handler": "handler.handler",
        "Code": {"ZipFile": function_zip(REPOSITORY / "lambda_function")},
        "Role": role,
        "Timeout": 15,
        "MemorySize": 1024,
        "Environment": {"Variables": VARIABLES},
    }
    with deployed(stand_in, NAME, **settings) as client:
        client.put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=RESERVED)
        client.put_provisioned_concurrency_config(
            FunctionName=NAME, Qualifier="live", ProvisionedConcurrentExecutions=PROVISIONED
        )
        yield signing(stand_in, add_url(client, NAME))
    sagemaker.delete_endpoint(EndpointName=NAME)
    sagemaker.delete_endpoint_config(EndpointConfigName=NAME)
    sagemaker.delete_model(ModelName=NAME)
    s3.delete_object(Bucket=NAME, Key="model.tar.gz")
    s3.delete_bucket(Bucket=NAME)
    iam.delete_role(RoleName=NAME)

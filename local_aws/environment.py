"""What a process needs in its environment to talk to the stand-in, and to nothing else."""

import os
from typing import Any

import boto3
from botocore.config import Config

REGION = "us-east-1"
ACCOUNT_ID = "123456789012"  # moto's default account


# Keys that mean nothing on AWS, in the shape of STS's answer.
_ANYBODY = {"AccessKeyId": "stand-in", "SecretAccessKey": "stand-in"}


def client_environment(url: str, credentials: dict[str, str] = _ANYBODY) -> dict[str, str]:
    """Variables for any AWS client: the stand-in's address, `credentials` as STS gives them, no file of the user's."""
    bypass = ",".join(filter(None, ["127.0.0.1", os.environ.get("NO_PROXY")]))
    variables = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": bypass,
        "no_proxy": bypass,
    }
    return variables | ({"AWS_SESSION_TOKEN": credentials["SessionToken"]} if "SessionToken" in credentials else {})


def client(service: str, variables: dict[str, str]) -> Any:
    """A boto3 client that takes its address and its keys from `client_environment`, and nothing from this process."""
    session = boto3.Session(
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=variables.get("AWS_SESSION_TOKEN"),
        region_name=REGION,
    )
    # One attempt: an error of the stand-in stays one, and a test of an error should not wait for four more.
    config = Config(proxies={}, retries={"total_max_attempts": 1})
    return session.client(service, endpoint_url=variables["AWS_ENDPOINT_URL"], config=config)


def variables_to_unset() -> list[str]:
    """All AWS_ variables of the caller: a profile, a role or a service's own endpoint would lead past the stand-in."""
    return sorted(name for name in os.environ if name.startswith("AWS_"))

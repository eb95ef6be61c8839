"""What a process needs in its environment to talk to the stand-in, and to nothing else."""

import os
from collections.abc import Mapping

REGION = "us-east-1"
ACCOUNT_ID = "123456789012"  # moto's default account
CALLS_PATH = "/_stand_in/calls"  # where the stand-in tells who called what; no bucket's name has an underscore
FAULTS_PATH = "/_stand_in/faults/"  # below which each of these is asked for
FAULTS = {
    "silent-rollback": "it goes into service, an alarm of its fires, and it goes back without a word",
    "never-ready": "its container never answers /ping",
}
URLS_PATH = "/_stand_in/urls/"  # below which each function URL has a path
STATE_BUCKET = f"terraform-state-{ACCOUNT_ID}"  # the account comes with it, as one that was bootstrapped does


# Keys that mean nothing on AWS, in the shape of STS's answer.
ANYBODY = {"AccessKeyId": "stand-in", "SecretAccessKey": "stand-in"}


def client_environment(url: str, credentials: dict[str, str] = ANYBODY) -> dict[str, str]:
    """Variables for any AWS client: the stand-in's address, `credentials` as STS gives them, no file of the user's."""
    bypass = ",".join(filter(None, ["127.0.0.1", os.environ.get("NO_PROXY") or os.environ.get("no_proxy")]))
    variables = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCOUNT_ID": ACCOUNT_ID,
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


def without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without any variable of AWS's: a profile, a role or a service's own endpoint leads to an account.

    TF_AWS_ is how Terraform's provider and its S3 backend are told of endpoints.
    """
    return {name: value for name, value in environment.items() if not name.startswith(("AWS_", "TF_AWS_"))}

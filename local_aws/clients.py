"""Clients of the stand-in that this process's own AWS settings cannot lead elsewhere."""

import os
import threading
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from local_aws.environment import REGION

# botocore's settings (file's name, variable's name, default, conversion), with neither the user's profile nor files.
_NOT_FROM_THE_USER = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


_SESSION = boto3.Session(region_name=REGION, botocore_session=botocore.session.Session(_NOT_FROM_THE_USER))
_CREATING = threading.Lock()  # a session, unlike its clients, is not safe for several threads


def client(service: str, variables: dict[str, str]) -> Any:
    """A boto3 client that takes its address and its keys from `client_environment`, and nothing from this process.

    All come from one session, which reads the description of a service once; each of its own took 0.1 s, EC2's 0.2.
    """
    # One attempt: an error of the stand-in stays one, and a test of an error should not wait for four more.
    config = Config(proxies={}, retries={"total_max_attempts": 1})
    with _CREATING:
        return _SESSION.client(
            service,
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=variables.get("AWS_SESSION_TOKEN"),
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            config=config,
        )

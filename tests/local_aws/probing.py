"""How a shim is probed: a function that tells what AWS does, tried on moto with the shims and without."""

from collections.abc import Callable
from typing import Any

import boto3
import moto
from botocore.exceptions import ClientError

Probe = Callable[[], None]
PROBES: dict[str, Probe] = {}


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

"""A function that is deployed for a test, and its URL."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.credentials import Credentials

from ops.function_url import FunctionUrl
from tests.conftest import StandInUnderTest


def package(code: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("code.py", code)
    return buffer.getvalue()


@contextmanager
def deployed(stand_in: StandInUnderTest, name: str, **settings: Any) -> Iterator[Any]:
    """A Lambda client, while there is a function of that name with an alias `live`."""
    client = stand_in.client("lambda")
    client.create_function(FunctionName=name, Runtime="python3.13", Publish=True, **settings)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    yield client
    client.delete_function(FunctionName=name)


def add_url(client: Any, name: str) -> str:
    config = {"FunctionName": name, "Qualifier": "live", "AuthType": "AWS_IAM"}
    return str(client.create_function_url_config(**config)["FunctionUrl"])


def signing(stand_in: StandInUnderTest, url: str, **different: str) -> FunctionUrl:
    """A URL that is asked with the stand-in's own keys, unless others are given."""
    keys = {"access_key": "AWS_ACCESS_KEY_ID", "secret_key": "AWS_SECRET_ACCESS_KEY"}
    known = {name: stand_in.variables[variable] for name, variable in keys.items()}
    region = different.pop("region", stand_in.variables["AWS_REGION"])
    return FunctionUrl(url, Credentials(**{**known, **different}), region)

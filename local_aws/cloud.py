"""What the data planes share: clients of the stand-in under a role, S3 copies, logs, and AWS's error answers."""

import contextlib
import json
import re
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from moto.s3.models import s3_backends
from werkzeug.wrappers import Response

from local_aws.calls.record import Record
from local_aws.clients import client
from local_aws.environment import ACCOUNT_ID, client_environment

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")

# Hands a request on to moto, and has its answer.
Forward = Callable[[], Response]


class ServiceError(Exception):
    """An error as the real service would answer it."""

    def __init__(self, code: str, message: str, status: int = 400, **fields: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.fields = code, message, status, fields

    def response(self) -> Response:
        body = {"__type": self.code, "Message": self.message, "message": self.message, **self.fields}
        headers = {"x-amzn-ErrorType": self.code, "x-amzn-RequestId": str(uuid.uuid4())}
        return Response(json.dumps(body), self.status, headers, mimetype="application/json")


class Cloud:
    """The stand-in as its own data planes see it: over its own API, under the role that the work belongs to."""

    def __init__(self, url: str, home: Path) -> None:
        self.url, self.home = url, home
        self.calls = Record()

    def role_environment(self, role_arn: str) -> dict[str, str]:
        """Variables that give a process the credentials of a role. Raises ServiceError when there is no such role."""
        try:
            self.client("iam").get_role(RoleName=role_arn.rsplit("/", 1)[-1])
        except ClientError:
            raise ServiceError(
                "ValidationException", f"Could not assume role {role_arn}. Please ensure that the role exists."
            ) from None
        answer = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="stand-in")
        return client_environment(self.url, answer["Credentials"])

    def client(self, service: str, environment: dict[str, str] | None = None) -> Any:
        return client(service, environment or client_environment(self.url))


def require_name(kind: str, name: str) -> None:
    """Refuse a name as SageMaker does; it becomes part of a path here. Raises ServiceError."""
    if not _NAME.fullmatch(name):
        raise ServiceError(
            "ValidationException",
            f"1 validation error detected: Value '{name}' at '{kind}' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {_NAME.pattern}",
        )


def split_s3_uri(uri: str) -> tuple[str, str]:
    """("bucket", "key or prefix") of s3://bucket/key."""
    parts = urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")


def list_objects(s3: Any, uri: str) -> Iterator[dict[str, Any]]:
    bucket, prefix = split_s3_uri(uri)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", [])


def download_prefix(s3: Any, uri: str, directory: Path, on_read: Callable[[str, str], None]) -> None:
    """Copy all objects below `uri` into `directory`, as SageMaker's File mode does. Raises ServiceError.

    Tells `on_read` the bucket and the key of each, since no request for it is seen.
    """
    bucket, prefix = split_s3_uri(uri)
    directory.mkdir(parents=True, exist_ok=True)
    root = directory.resolve()

    keys = [item["Key"] for item in list_objects(s3, uri) if not item["Key"].endswith("/")]
    for key in keys:
        relative = key[len(prefix) :].lstrip("/") if prefix.endswith("/") or key != prefix else Path(key).name
        target = (root / relative).resolve()
        if not target.is_relative_to(root):
            raise ServiceError("ClientError", f"Data download failed: the key {key} points outside its channel.")
        target.parent.mkdir(parents=True, exist_ok=True)
        # Straight from moto's memory: over HTTP, thousands of photographs take longer than a training run.
        if item := s3_backends[ACCOUNT_ID]["aws"].get_object(bucket, key):
            target.write_bytes(item.value)
            on_read(bucket, key)


def pack(directory: Path, archive: Path) -> None:
    """A tar.gz of what is in `directory`, as SageMaker packs /opt/ml/model."""
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for path in sorted(directory.iterdir()):
            tar.add(path, path.name)


class LogStream:
    """A CloudWatch log stream. Lines are sent together, at most twice a second, so that a log costs little."""

    _SEND_SECONDS = 0.5

    def __init__(self, logs: Any, group: str, stream: str) -> None:
        self._logs, self._group, self._stream = logs, group, stream
        self._pending: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._open = True
        try:
            self._create()
        except logs.exceptions.ResourceNotFoundException:  # as the services do: only where nobody made it before
            with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):  # by another stream, just now
                logs.create_log_group(logGroupName=group)
            self._create()
        self._sender = threading.Thread(target=self._send, daemon=True)
        self._sender.start()

    def write(self, line: str) -> None:
        with self._changed:
            self._pending.append({"timestamp": int(time.time() * 1000), "message": line or " "})
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._open = False
            self._changed.notify()
        self._sender.join()

    def _create(self) -> None:
        self._logs.create_log_stream(logGroupName=self._group, logStreamName=self._stream)

    def _send(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or not self._open)
                events, self._pending = self._pending, []
                is_last = not self._open
            try:
                if events:
                    self._logs.put_log_events(logGroupName=self._group, logStreamName=self._stream, logEvents=events)
            except (BotoCoreError, ClientError):
                with self._changed:
                    self._pending = events + self._pending  # with the next ones
            if is_last:
                return
            with self._changed:
                self._changed.wait_for(lambda: not self._open, timeout=self._SEND_SECONDS)

"""Lambda Invoke that really runs the deployed zip, in execution environments that are kept and reused."""

import io
import json
import threading
import uuid
import zipfile
from dataclasses import dataclass
from typing import Any

from moto.awslambda.models import lambda_backends
from werkzeug.wrappers import Request, Response

from local_aws.cloud import Cloud, LogStream, ServiceError
from local_aws.environment import ACCOUNT_ID, REGION
from local_aws.processes import base_environment
from local_aws.runtime_api import ExecutionEnvironment, Invocation

_PAYLOAD_BYTES = 6_291_456  # Lambda's limit for a synchronous request or answer
_ENVIRONMENTS_AT_MOST = 16  # where a function reserves no concurrency: what one machine can bear


@dataclass
class _Kept:
    """An execution environment, and the configuration of the function that it was started with."""

    environment: ExecutionEnvironment
    version: str
    configuration: str
    is_busy: bool = True


class Functions:
    """The functions of this stand-in and their execution environments: an idle one serves before another starts."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._kept: dict[str, list[_Kept]] = {}
        self._lock = threading.Lock()

    def invoke(self, name: str, qualifier: str | None, request: Request) -> Response:
        """`name` may be a name or an ARN, either of them with a version or alias after a colon."""
        name, qualifier = _split_name(name, qualifier)
        event = request.get_data() or b"{}"
        if len(event) > _PAYLOAD_BYTES:
            message = f"Request must be smaller than {_PAYLOAD_BYTES} bytes for the InvokeFunction operation"
            raise ServiceError("RequestTooLargeException", message, 413)
        function = lambda_backends[ACCOUNT_ID][REGION].get_function(name, qualifier)
        invocation = Invocation(event, function.function_arn, float(function.timeout))
        match request.headers.get("X-Amz-Invocation-Type", "RequestResponse"):
            case "DryRun":
                return Response(status=204)
            case "Event":
                threading.Thread(target=self._run, args=(function, invocation), daemon=True).start()
                return Response(status=202)
        self._run(function, invocation)
        if len(invocation.payload) > _PAYLOAD_BYTES:
            invocation.error = "Unhandled"
            invocation.payload = b'{"errorType": "Function.ResponseSizeTooLarge"}'
        headers = {"X-Amz-Executed-Version": str(function.version), "x-amzn-RequestId": invocation.request_id}
        if invocation.error:
            headers["X-Amz-Function-Error"] = invocation.error
        return Response(invocation.payload, 200, headers, mimetype="application/json")

    def retire(self, name: str) -> None:
        """Stop all environments of a function that was deleted."""
        name, _ = _split_name(name, None)
        with self._lock:
            retired = self._kept.pop(name, [])
        for kept in retired:
            kept.environment.stop()

    def close(self) -> None:
        for name in list(self._kept):
            self.retire(name)

    def _run(self, function: Any, invocation: Invocation) -> None:
        kept = self._take(function)
        kept.environment.run(invocation)
        with self._lock:
            kept.is_busy = False

    def _take(self, function: Any) -> _Kept:
        """An environment of just this version and configuration. Raises ServiceError when no more may run at once."""
        name, version = function.function_name, str(function.version)
        configuration = json.dumps(function.get_configuration(), default=str)
        reserved = lambda_backends[ACCOUNT_ID][REGION].get_function(name).reserved_concurrency
        limit = _ENVIRONMENTS_AT_MOST if reserved is None else int(reserved)
        with self._lock:
            all_kept = self._kept.setdefault(name, [])
            for kept in [kept for kept in all_kept if not kept.is_busy]:
                is_outdated = kept.version == version and kept.configuration != configuration
                if is_outdated or not kept.environment.is_alive:
                    all_kept.remove(kept)
                    kept.environment.stop()
            if sum(kept.is_busy for kept in all_kept) >= limit:
                reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
                raise ServiceError("TooManyRequestsException", "Rate Exceeded.", 429, Reason=reason)
            for kept in all_kept:
                if not kept.is_busy and kept.configuration == configuration:
                    kept.is_busy = True
                    return kept
            kept = _Kept(self._start(function), version, configuration)
            all_kept.append(kept)
            return kept

    def _start(self, function: Any) -> ExecutionEnvironment:
        name, version = function.function_name, str(function.version)
        folder = self._cloud.home / "functions" / uuid.uuid4().hex[:8]
        code = folder / "task"
        with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as package:
            package.extractall(code)
        role = self._cloud.role_environment(function.role)
        logging = getattr(function, "logging_config", None) or {}
        group = logging.get("LogGroup") or f"/aws/lambda/{name}"
        stream = f"{folder.name}[{version}]"
        log = LogStream(self._cloud.client("logs", role), group, stream)
        environment = {
            **base_environment(folder),
            **role,
            **function.environment_vars,
            "PYTHONPATH": str(code),
            "LAMBDA_TASK_ROOT": str(code),
            "_HANDLER": function.handler,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}",
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_LOG_GROUP_NAME": group,
            "AWS_LAMBDA_LOG_STREAM_NAME": stream,
            "AWS_LAMBDA_LOG_FORMAT": logging.get("LogFormat", "Text").upper(),
            "AWS_LAMBDA_LOG_LEVEL": logging.get("ApplicationLogLevel", "INFO"),
        }

        def on_line(line: str) -> None:
            log.write(line.replace("\r", "\n"))  # the runtime's way to keep a traceback one event

        return ExecutionEnvironment(code, function.handler, environment, on_line, log.close)


def _split_name(name: str, qualifier: str | None) -> tuple[str, str | None]:
    parts = name.split(":function:")[-1].split(":")
    return parts[0], qualifier or (parts[1] if len(parts) > 1 else None)

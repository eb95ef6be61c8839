"""Lambda Invoke that really runs the deployed zip."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from werkzeug.wrappers import Request, Response

from local_aws.cloud import Cloud, ServiceError
from local_aws.execution_environments import ExecutionEnvironments, find_function
from local_aws.runtime_api import Invocation

PAYLOAD_BYTES = 6_291_456  # Lambda's limit for a synchronous request or answer


class Functions:
    """What the stand-in does for the functions whose records moto keeps."""

    def __init__(self, cloud: Cloud) -> None:
        self._environments = ExecutionEnvironments(cloud)

    def invoke(self, name: str, qualifier: str | None, request: Request) -> Response:
        """`name` may be a name or an ARN, either of them with a version or alias after a colon."""
        name, qualifier = split_name(name, qualifier)
        event = request.get_data() or b"{}"
        if len(event) > PAYLOAD_BYTES:
            message = f"Request must be smaller than {PAYLOAD_BYTES} bytes for the InvokeFunction operation"
            raise ServiceError("RequestTooLargeException", message, 413)
        function = find_function(name, qualifier)
        match request.headers.get("X-Amz-Invocation-Type", "RequestResponse"):
            case "DryRun":
                return Response(status=204)
            case "Event":
                threading.Thread(target=self._run_later, args=(function, qualifier, event), daemon=True).start()
                return Response(status=202)
        invocation = self.run(function, qualifier, event)
        headers = {"X-Amz-Executed-Version": str(function.version), "x-amzn-RequestId": invocation.request_id}
        if invocation.error:
            headers["X-Amz-Function-Error"] = invocation.error
        return Response(invocation.payload, 200, headers, mimetype="application/json")

    def run(self, function: Any, qualifier: str | None, event: bytes) -> Invocation:
        """Run a function's version to its end. Raises ServiceError when no more may run at once."""
        invocation = Invocation(event, function.function_arn, float(function.timeout))
        self._environments.run(function, qualifier, invocation)
        if len(invocation.payload) > PAYLOAD_BYTES:
            invocation.error = "Unhandled"
            invocation.payload = b'{"errorType": "Function.ResponseSizeTooLarge"}'
        return invocation

    def delete(self, name: str, forward: Callable[[], Response]) -> Response:
        response = forward()
        if response.status_code < 300:
            self._environments.retire(split_name(name, None)[0])
        return response

    def provision(self, name: str, forward: Callable[[], Response]) -> Response:
        """Do what may change what is provisioned, or what version it is of."""
        response = forward()
        if response.status_code < 300:
            self._environments.provision(split_name(name, None)[0])
        return response

    def close(self) -> None:
        self._environments.close()

    def _run_later(self, function: Any, qualifier: str | None, event: bytes) -> None:
        with contextlib.suppress(ServiceError):  # there is nobody to tell
            self.run(function, qualifier, event)


def split_name(name: str, qualifier: str | None) -> tuple[str, str | None]:
    """("name", "version or alias") of a name or an ARN, either of them with a qualifier after a colon."""
    parts = name.split(":function:")[-1].split(":")
    return parts[0], qualifier or (parts[1] if len(parts) > 1 else None)

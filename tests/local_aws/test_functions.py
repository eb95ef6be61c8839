"""Functions that really run, under the real runtime client."""

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.conftest import StandInUnderTest, wait_for
from tests.local_aws.deployed import package

CODE = """
import json, os, time
import boto3

def handler(event, context):
    match event.get("do"):
        case "raise":
            raise ValueError("on purpose")
        case "die":
            os._exit(3)
        case "sleep":
            time.sleep(event["seconds"])
        case "who":
            return boto3.client("sts").get_caller_identity()["Arn"]
    print("handled")
    return {
        "event": event,
        "pid": os.getpid(),
        "environment": os.environ.get("GREETING"),
        "version": context.function_version,
        "remaining": context.get_remaining_time_in_millis(),
    }
"""
NAME = "tested"


@pytest.fixture
def function(stand_in: StandInUnderTest, role_arn: str) -> Iterator[Any]:
    client = stand_in.client("lambda")
    client.create_function(
        FunctionName=NAME,
        Runtime="python3.13",
        Role=role_arn,
        Handler="code.handler",
        Code={"ZipFile": package(CODE)},
        Timeout=3,
        Environment={"Variables": {"GREETING": "hello"}},
        Publish=True,
    )
    client.create_alias(FunctionName=NAME, Name="live", FunctionVersion="1")
    yield client
    with contextlib.suppress(ClientError):
        client.delete_function(FunctionName=NAME)


def invoke(client: Any, event: dict[str, Any], **arguments: Any) -> tuple[Any, str | None]:
    """(payload, function error) of an invocation."""
    response = client.invoke(FunctionName=NAME, Payload=json.dumps(event), **arguments)
    return json.loads(response["Payload"].read()), response.get("FunctionError")


def runtimes(stand_in: StandInUnderTest) -> list[psutil.Process]:
    return [process for process in stand_in.home.processes() if "awslambdaric" in process.cmdline()]


def test_the_deployed_code_runs_with_its_own_environment_and_is_kept_warm(
    stand_in: StandInUnderTest, function: Any
) -> None:
    first, error = invoke(function, {"a": 1})
    second, _ = invoke(function, {"a": 2})
    assert error is None
    assert first["event"] == {"a": 1}
    assert first["environment"] == "hello"
    assert 0 < first["remaining"] <= 3000
    assert second["pid"] == first["pid"]
    assert stand_in.listening_addresses() == {"127.0.0.1"}


def test_versions_and_aliases_run_what_they_name(function: Any) -> None:
    function.update_function_code(FunctionName=NAME, ZipFile=package("def handler(event, context): return 'new'"))
    assert invoke(function, {}) == ("new", None)
    assert invoke(function, {}, Qualifier="1")[0]["version"] == "1"
    assert invoke(function, {}, Qualifier="live")[0]["version"] == "1"
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        invoke(function, {}, Qualifier="nobody")


def test_what_is_outdated_or_deleted_does_not_run_on(stand_in: StandInUnderTest, function: Any) -> None:
    for number in range(3):
        code = f"def handler(event, context): return {number}"
        function.update_function_code(FunctionName=NAME, ZipFile=package(code))
        assert invoke(function, {}) == (number, None)
        assert len(runtimes(stand_in)) == 1
    function.delete_function(FunctionName=NAME)
    assert runtimes(stand_in) == []
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        invoke(function, {})


def test_it_has_the_credentials_of_its_role(function: Any, role_arn: str) -> None:
    arn, _ = invoke(function, {"do": "who"})
    assert arn.split(":assumed-role/")[1].split("/")[0] == role_arn.split("/")[1]


def test_errors_crashes_and_time_limits_are_told_as_lambda_tells_them(function: Any) -> None:
    payload, error = invoke(function, {"do": "raise"})
    assert (error, payload["errorType"], payload["errorMessage"]) == ("Unhandled", "ValueError", "on purpose")
    payload, error = invoke(function, {"do": "die"})
    assert (error, payload["errorType"]) == ("Unhandled", "Runtime.ExitError")
    payload, error = invoke(function, {"do": "sleep", "seconds": 60})
    assert (error, payload["errorType"]) == ("Unhandled", "Sandbox.Timedout")
    assert invoke(function, {})[1] is None  # and after all that it answers again


def test_code_that_cannot_be_imported_is_told(function: Any) -> None:
    function.update_function_code(FunctionName=NAME, ZipFile=package("import nothing_of_that_name"))
    payload, error = invoke(function, {})
    assert (error, payload["errorType"]) == ("Unhandled", "Runtime.ImportModuleError")


def test_reserved_concurrency_is_a_ceiling(function: Any) -> None:
    function.put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=1)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(invoke, function, {"do": "sleep", "seconds": 2}) for _ in range(2)]
        errors = [call.exception() for call in calls]
    throttled = [error for error in errors if isinstance(error, ClientError)]
    assert len(throttled) == 1
    assert throttled[0].response["Error"]["Code"] == "TooManyRequestsException"


def test_what_it_prints_stands_in_its_log(stand_in: StandInUnderTest, function: Any) -> None:
    invoke(function, {})
    logs = stand_in.client("logs")
    group = f"/aws/lambda/{NAME}"

    def messages() -> list[str]:
        streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
        return [
            event["message"]
            for stream in streams
            for event in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
        ]

    wait_for(lambda: "handled" in messages())


def test_an_unknown_function_and_an_event_too_large_are_refused(function: Any) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        function.invoke(FunctionName="nobody")
    with pytest.raises(ClientError, match="RequestTooLargeException"):
        function.invoke(FunctionName=NAME, Payload=b'"' + b"x" * 6_291_456 + b'"')

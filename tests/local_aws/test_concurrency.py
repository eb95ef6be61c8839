"""Reserved and provisioned concurrency: how many run at once, who is sent away, and who finds a warm environment."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.conftest import StandInUnderTest, wait_for
from tests.local_aws.deployed import add_url, deployed, package, signing

# Leaves a line of each invocation where the test can read it: who ran, from when to when.
CODE = """
import json, os, pathlib, time
STARTED = time.time()

def handler(event, context):
    start = time.time()
    time.sleep(float(os.environ["SECONDS"]))
    line = {"id": context.aws_request_id, "start": start, "end": time.time(), "pid": os.getpid(), "started": STARTED,
            "initialised_by": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]}
    with open(os.environ["RECORD"], "a") as record:
        record.write(json.dumps(line) + "\\n")
    return line
"""
NAME = "crowded"
CALLERS, RESERVED, PROVISIONED = 50, 5, 2
LIVE = {"FunctionName": NAME, "Qualifier": "live"}


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "invocations.jsonl"


@pytest.fixture
def client(stand_in: StandInUnderTest, role_arn: str, record: Path) -> Iterator[Any]:
    settings = {
        "Handler": "code.handler",
        "Code": {"ZipFile": package(CODE)},
        "Role": role_arn,
        "Timeout": 10,
        "Environment": {"Variables": {"RECORD": str(record), "SECONDS": "0.5"}},
    }
    with deployed(stand_in, NAME, **settings) as client:
        client.put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=RESERVED)
        client.put_provisioned_concurrency_config(**LIVE, ProvisionedConcurrentExecutions=PROVISIONED)
        yield client


def invocations(record: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record.read_text().splitlines()]


def most_at_once(lines: list[dict[str, Any]]) -> int:
    return max(sum(other["start"] <= line["start"] < other["end"] for other in lines) for line in lines)


def all_at_once(call: Callable[[], tuple[int, Any]], callers: int = CALLERS) -> list[tuple[int, Any]]:
    with ThreadPoolExecutor(callers) as pool:
        return [answer.result() for answer in [pool.submit(call) for _ in range(callers)]]


def test_of_fifty_callers_five_run_at_once_and_the_others_are_told_so(
    stand_in: StandInUnderTest, client: Any, record: Path, record_property: Callable[[str, object], None]
) -> None:
    """None is lost or answered twice, and the first two meet no cold start."""
    function = signing(stand_in, add_url(client, NAME))
    began = time.time()

    def call() -> tuple[int, Any]:
        answer = function.ask("GET", "/", b"", {})
        return answer.status_code, json.loads(answer.content)

    answers = all_at_once(call)
    lines = invocations(record)
    statuses = Counter(status for status, _ in answers)
    assert set(statuses) == {200, 429}
    assert sum(statuses.values()) == CALLERS
    assert {body["Reason"] for status, body in answers if status == 429} == {
        "ReservedFunctionConcurrentInvocationLimitExceeded"
    }
    assert most_at_once(lines) <= RESERVED
    answered = [body["id"] for status, body in answers if status == 200]
    assert len(answered) >= RESERVED
    assert sorted(answered) == sorted({line["id"] for line in lines})
    assert len(lines) == len(answered)
    first_two = sorted(lines, key=lambda line: line["start"])[:PROVISIONED]
    assert {line["initialised_by"] for line in first_two} == {"provisioned-concurrency"}
    assert all(line["started"] < began for line in first_two)
    assert len({line["pid"] for line in lines if line["initialised_by"] == "provisioned-concurrency"}) == PROVISIONED
    record_property("50 callers", f"{most_at_once(lines)} at once at most, answers {dict(statuses)}")


def test_what_is_provisioned_serves_its_alias_alone_and_counts_as_reserved(client: Any) -> None:
    assert client.get_provisioned_concurrency_config(**LIVE)["Status"] == "READY"

    def latest() -> tuple[int, Any]:
        try:
            return 200, json.loads(client.invoke(FunctionName=NAME)["Payload"].read())
        except ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]

    answers = all_at_once(latest, 6)
    ran = [body for status, body in answers if status == 200]
    assert {body["initialised_by"] for body in ran} == {"on-demand"}
    assert len(ran) == RESERVED - PROVISIONED
    assert {answer for answer in answers if answer[0] != 200} == {(429, "TooManyRequestsException")}


def test_a_new_version_is_provisioned_before_the_alias_s_callers_come(client: Any) -> None:
    before = json.loads(client.invoke(**LIVE)["Payload"].read())
    code = package(CODE.replace("STARTED = time.time()", "STARTED = -1"))
    version = client.update_function_code(FunctionName=NAME, ZipFile=code, Publish=True)["Version"]
    client.update_alias(FunctionName=NAME, Name="live", FunctionVersion=version)
    after = json.loads(client.invoke(**LIVE)["Payload"].read())
    assert (after["started"], after["initialised_by"]) == (-1, "provisioned-concurrency")
    assert not psutil.pid_exists(before["pid"])


def test_one_that_dies_is_replaced_and_none_stays_when_it_is_no_longer_asked_for(
    stand_in: StandInUnderTest, client: Any
) -> None:
    def runtimes() -> list[psutil.Process]:
        return [process for process in stand_in.home.processes() if "awslambdaric" in process.cmdline()]

    killed = runtimes()[0]
    killed.kill()
    wait_for(lambda: len(runtimes()) == PROVISIONED and killed not in runtimes())
    wait_for(lambda: client.get_provisioned_concurrency_config(**LIVE)["Status"] == "READY")
    assert json.loads(client.invoke(**LIVE)["Payload"].read())["initialised_by"] == "provisioned-concurrency"
    client.delete_provisioned_concurrency_config(**LIVE)
    assert runtimes() == []


def test_code_that_does_not_start_is_no_provisioned_environment(client: Any) -> None:
    code = package("import nothing_of_that_name")
    version = client.update_function_code(FunctionName=NAME, ZipFile=code, Publish=True)["Version"]
    client.update_alias(FunctionName=NAME, Name="live", FunctionVersion=version)
    config = client.get_provisioned_concurrency_config(**LIVE)
    assert (config["Status"], config["AvailableProvisionedConcurrentExecutions"]) == ("FAILED", 0)

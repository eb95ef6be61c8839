"""Who may talk to the stand-in, and how it answers what it does not know."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

from tests.conftest import StandInUnderTest

ROLE = "arn:aws:iam::123456789012:role/notebook"


def status(stand_in: StandInUnderTest, headers: dict[str, str], method: str = "GET") -> int:
    address = urlsplit(stand_in.url).netloc
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request(method, "/", headers={"Host": address, **headers})
    return connection.getresponse().status


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("OPTIONS", {"Origin": "https://somebodys.example", "Access-Control-Request-Method": "POST"}),
        ("POST", {"Origin": "https://somebodys.example"}),
        ("GET", {"Host": "somebodys.example"}),
        ("GET", {"Host": "somebodys.example:80"}),
    ],
)
def test_no_web_page_may_use_it(stand_in: StandInUnderTest, method: str, headers: dict[str, str]) -> None:
    assert status(stand_in, headers, method) == 403


def test_a_client_on_this_machine_may(stand_in: StandInUnderTest) -> None:
    assert status(stand_in, {}) == 200


def test_a_fault_of_its_own_is_answered_as_aws_would(stand_in: StandInUnderTest) -> None:
    connection = http.client.HTTPConnection(urlsplit(stand_in.url).netloc, timeout=10)
    connection.request("POST", "/", b"no JSON", {"X-Amz-Target": "SageMaker.CreateTrainingJob"})
    response = connection.getresponse()
    assert response.status == 500
    assert response.headers["x-amzn-ErrorType"] == "InternalFailure"


def test_a_call_that_is_repeated_is_answered_as_the_first_time(stand_in: StandInUnderTest) -> None:
    """Its answer may have been lost; another call that asks for the same is another matter."""

    def create(call: str, attempt: int) -> tuple[int, str]:
        headers = {
            "X-Amz-Target": "SageMaker.CreateNotebookInstance",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": "AWS4-HMAC-SHA256 Credential=stand-in/20260101/us-east-1/sagemaker/aws4_request",
            "Amz-Sdk-Invocation-Id": call,
            "Amz-Sdk-Request": f"attempt={attempt}; max=3",
        }
        notebook = {"NotebookInstanceName": "asked-twice", "InstanceType": "ml.t3.medium", "RoleArn": ROLE}
        connection = http.client.HTTPConnection(urlsplit(stand_in.url).netloc, timeout=10)
        connection.request("POST", "/", json.dumps(notebook), headers)
        response = connection.getresponse()
        return response.status, response.read().decode()

    first = create("call-1", 1)
    assert first[0] == 200
    assert create("call-1", 2) == first
    status, body = create("call-2", 1)
    assert (status, "duplicate" in body) == (400, True)
    assert create("call-2", 2) == (status, body)  # what was refused is asked anew
    notebooks = stand_in.client("sagemaker")
    notebooks.stop_notebook_instance(NotebookInstanceName="asked-twice")
    notebooks.delete_notebook_instance(NotebookInstanceName="asked-twice")
    assert create("call-3", 2)[0] == 200  # the first attempt never arrived
    notebooks.stop_notebook_instance(NotebookInstanceName="asked-twice")
    notebooks.delete_notebook_instance(NotebookInstanceName="asked-twice")

"""Who may talk to the stand-in, and how it answers what it does not know."""

import http.client
from urllib.parse import urlsplit

import pytest

from tests.conftest import StandInUnderTest


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

"""Function URLs: what a function gets of a request, what a caller gets of its answer, and who may ask."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.conftest import StandInUnderTest
from tests.local_aws.deployed import add_url, deployed, package, signing

CODE = """
import base64

def handler(event, context):
    match event["rawPath"]:
        case "/picture":
            body = base64.b64encode(bytes(range(256))).decode()
            return {"statusCode": 203, "headers": {"Content-Type": "image/png", "X-Other": 1}, "body": body,
                    "isBase64Encoded": True, "cookies": ["a=1; Secure", "b=2"]}
        case "/plain":
            return {"any": "object"}
        case "/malformed":
            return {"statusCode": "no number"}
        case "/raise":
            raise ValueError("a secret of the function")
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": __import__("json").dumps(event)}
"""
NAME = "with-url"


@pytest.fixture(scope="module")
def client(stand_in: StandInUnderTest) -> Iterator[Any]:
    role = {"RoleName": "role-of-url", "AssumeRolePolicyDocument": "{}"}
    arn = stand_in.client("iam").create_role(**role)["Role"]["Arn"]
    with deployed(stand_in, NAME, Handler="code.handler", Code={"ZipFile": package(CODE)}, Role=arn) as client:
        yield client
    stand_in.client("iam").delete_role(RoleName="role-of-url")


@pytest.fixture(scope="module")
def url(client: Any) -> str:
    return add_url(client, NAME)


def test_it_is_read_back_with_its_alias_and_leads_here(stand_in: StandInUnderTest, client: Any, url: str) -> None:
    config = client.get_function_url_config(FunctionName=NAME, Qualifier="live")
    assert config["FunctionUrl"] == url
    assert url.startswith(f"{stand_in.url}/")
    assert url.endswith("/")
    assert config["FunctionArn"].endswith(f":function:{NAME}:live")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.get_function_url_config(FunctionName=NAME)


def test_a_function_gets_text_as_it_is_and_an_image_in_base64(stand_in: StandInUnderTest, url: str) -> None:
    function = signing(stand_in, url)
    image = b"\xff\xd8\xff\x00\x80"
    answer = function.ask("POST", "/predict?top_k=3&a=1&a=2", image, {"Content-Type": "image/jpeg"})
    event = json.loads(answer.content)
    assert (answer.status_code, event["version"], event["isBase64Encoded"]) == (200, "2.0", True)
    assert base64.b64decode(event["body"]) == image
    assert (event["rawPath"], event["rawQueryString"]) == ("/predict", "top_k=3&a=1&a=2")
    assert event["queryStringParameters"] == {"top_k": "3", "a": "1,2"}
    assert event["headers"]["content-type"] == "image/jpeg"
    assert event["headers"].keys().isdisjoint({"authorization", "cookie"})
    context = event["requestContext"]
    assert (context["http"]["method"], context["http"]["path"]) == ("POST", "/predict")
    assert context["authorizer"]["iam"]["userArn"] == "arn:aws:iam::123456789012:root"
    event = json.loads(
        function.ask("POST", "/", '{"text": "é"}'.encode(), {"Content-Type": "application/json"}).content
    )
    assert (event["body"], event["isBase64Encoded"]) == ('{"text": "é"}', False)
    event = json.loads(function.ask("GET", "/", b"", {}).content)
    assert "body" not in event


def test_a_caller_gets_what_the_function_says(stand_in: StandInUnderTest, url: str) -> None:
    function = signing(stand_in, url)
    picture = function.ask("GET", "/picture", b"", {})
    assert (picture.status_code, picture.headers["Content-Type"]) == (203, "image/png")
    assert picture.content == bytes(range(256))
    assert picture.headers["X-Other"] == "1"
    plain = function.ask("GET", "/plain", b"", {})
    assert (plain.status_code, json.loads(plain.content)) == (200, {"any": "object"})


@pytest.mark.parametrize("path", ["/malformed", "/raise"])
def test_what_fails_is_a_502_that_tells_nothing(stand_in: StandInUnderTest, url: str, path: str) -> None:
    answer = signing(stand_in, url).ask("GET", path, b"", {})
    assert (answer.status_code, answer.content) == (502, b"Internal Server Error")


def test_a_request_too_large_for_lambda_is_413(stand_in: StandInUnderTest, url: str) -> None:
    answer = signing(stand_in, url).ask("POST", "/predict", b"x" * 5_000_000, {"Content-Type": "image/jpeg"})
    assert answer.status_code == 413


def test_nobody_gets_in_without_a_signature(stand_in: StandInUnderTest, url: str) -> None:
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "AWS4-HMAC-SHA256 Credential=stand-in"}):
        answer = urllib3.request("GET", url, headers=headers)
        assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
        assert answer.json()["Message"].startswith("Forbidden")
    unknown = signing(stand_in, f"{stand_in.url}/_stand_in/urls/{'0' * 32}/").ask("GET", "/", b"", {})
    assert unknown.status_code == 403


@pytest.mark.parametrize(
    ("different", "code"),
    [
        ({"secret_key": "guessed"}, "InvalidSignatureException"),
        ({"access_key": "nobody"}, "UnrecognizedClientException"),
        ({"token": "made up"}, "UnrecognizedClientException"),
        ({"region": "eu-west-1"}, "InvalidSignatureException"),
    ],
)
def test_wrong_credentials_are_refused(
    stand_in: StandInUnderTest, url: str, different: dict[str, str], code: str
) -> None:
    answer = signing(stand_in, url, **different).ask("GET", "/plain", b"", {})
    assert (answer.status_code, answer.headers["x-amzn-ErrorType"]) == (403, code)


@pytest.mark.parametrize("change", ["body", "path", "query", "method", "date"])
def test_what_was_changed_after_it_was_signed_is_refused(stand_in: StandInUnderTest, url: str, change: str) -> None:
    credentials = Credentials(stand_in.variables["AWS_ACCESS_KEY_ID"], stand_in.variables["AWS_SECRET_ACCESS_KEY"])
    request = AWSRequest("POST", f"{url}plain?a=1", {"Content-Type": "text/plain"}, b"signed")
    SigV4Auth(credentials, "lambda", "us-east-1").add_auth(request)
    headers = dict(request.headers)
    sent = {"method": "POST", "url": request.url, "body": b"signed"}
    assert urllib3.request(**sent, headers=headers).status == 200
    match change:
        case "body":
            sent["body"] = b"changed"
        case "path":
            sent["url"] = f"{url}picture?a=1"
        case "query":
            sent["url"] = f"{url}plain?a=2"
        case "method":
            sent["method"] = "PUT"
        case "date":
            headers["X-Amz-Date"] = f"{headers['X-Amz-Date'][:8]}T000000Z"
    assert urllib3.request(**sent, headers=headers).status == 403


def test_a_role_may_ask_and_what_it_needs_is_recorded(stand_in: StandInUnderTest, url: str) -> None:
    role = stand_in.client("iam").get_role(RoleName="role-of-url")["Role"]["Arn"]
    keys = stand_in.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    session = {"access_key": keys["AccessKeyId"], "secret_key": keys["SecretAccessKey"], "token": keys["SessionToken"]}
    event = json.loads(signing(stand_in, url, **session).ask("GET", "/", b"", {}).content)
    assert ":assumed-role/role-of-url/test" in event["requestContext"]["authorizer"]["iam"]["userArn"]
    called = {call["action"] for call in stand_in.calls_of_role(role) if call["resource"].endswith(f"{NAME}:live")}
    assert called == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    stolen = {**session, "token": "another"}
    assert signing(stand_in, url, **stolen).ask("GET", "/", b"", {}).status_code == 403


def test_what_is_deleted_leads_nowhere(stand_in: StandInUnderTest, client: Any, url: str) -> None:
    """Last in this file: it takes the URL away."""
    client.delete_function_url_config(FunctionName=NAME, Qualifier="live")
    assert signing(stand_in, url).ask("GET", "/plain", b"", {}).status_code == 403
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.get_function_url_config(FunctionName=NAME, Qualifier="live")

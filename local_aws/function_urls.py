"""Function URLs that lead to the functions of the stand-in, and take only signed requests, as `AWS_IAM` has it."""

import base64
import json
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from moto.awslambda.models import lambda_backends
from werkzeug.wrappers import Request, Response

from local_aws.calls.requests import Call
from local_aws.cloud import Cloud, ServiceError
from local_aws.environment import ACCOUNT_ID, REGION, URLS_PATH
from local_aws.execution_environments import find_function
from local_aws.functions import PAYLOAD_BYTES, Functions, split_name
from local_aws.signatures import Caller, caller_of

# What a function gets as text; all else comes in base64.
_TEXT = ("text/", "application/json", "application/javascript", "application/xml")
_TROUBLESHOOTING = "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"


class FunctionUrls:
    """A URL of a function is a path of the stand-in's one address. One for each function, whatever its qualifier."""

    def __init__(self, cloud: Cloud, functions: Functions) -> None:
        self._cloud, self._functions = cloud, functions

    def configure(self, name: str, request: Request, forward: Callable[[], Response]) -> Response:
        """Create, Get, Update or DeleteFunctionUrlConfig: moto's record, with an address that leads here."""
        name, qualifier = split_name(name, request.args.get("Qualifier"))
        before = find_function(name).url_config
        is_known = before is not None and before.config.get("Qualifier") == qualifier
        if request.method == "POST" and before is not None:
            raise ServiceError("ResourceConflictException", f"The function {name} has a URL already.", 409)
        if request.method != "POST" and not is_known:
            raise ServiceError("ResourceNotFoundException", "The resource you requested does not exist.", 404)
        response = forward()
        if response.status_code < 300 and (record := find_function(name).url_config):
            record.config["Qualifier"] = qualifier
            answer = json.loads(response.get_data())
            answer["FunctionUrl"] = f"{self._cloud.url}{URLS_PATH}{_url_id(record)}/"
            answer["FunctionArn"] += f":{qualifier}" if qualifier else ""
            response.set_data(json.dumps(answer))
        return response

    def answer(self, request: Request) -> Response:
        """Answer a request to a URL with what its function says. Raises ServiceError."""
        body = request.get_data()  # before any answer: a connection that closes on unread bytes takes the answer along
        url_id, _, path = request.path.removeprefix(URLS_PATH).partition("/")
        record = _find(url_id)
        if record is None:
            raise ServiceError("AccessDeniedException", f"Forbidden. See: {_TROUBLESHOOTING}", 403)
        caller = caller_of(request, "lambda") if record.config.get("AuthType") != "NONE" else None
        name, qualifier = record.function.function_name, record.config["Qualifier"]
        if caller and caller.role_arn:
            arn = f"{record.function.function_arn}{f':{qualifier}' if qualifier else ''}"
            actions = ("InvokeFunctionUrl", "InvokeFunction")  # new URLs need both since October 2025
            self._cloud.calls.note(caller.role_arn, [Call(f"lambda:{action}", arn) for action in actions])
        event = json.dumps(_event(request, body, url_id, f"/{path}", caller)).encode()
        if len(event) > PAYLOAD_BYTES:
            raise ServiceError("RequestTooLargeException", "Request Entity Too Large", 413)
        invocation = self._functions.run(find_function(name, qualifier), qualifier, event)
        return _bad_gateway() if invocation.error else _response(invocation.payload)


def _url_id(record: Any) -> str:
    return str(urlsplit(record.url).netloc.split(".")[0])


def _find(url_id: str) -> Any | None:
    """Moto's record of a URL, or None."""
    functions = lambda_backends[ACCOUNT_ID][REGION].list_functions()
    records = (function.url_config for function in functions if function.url_config)
    return next((record for record in records if _url_id(record) == url_id), None)


def _event(request: Request, body: bytes, url_id: str, path: str, caller: Caller | None) -> dict[str, Any]:
    """The event of a request in payload format 2.0 (Lambda Developer Guide, "Invoking Lambda function URLs")."""
    domain = f"{url_id}.lambda-url.{REGION}.on.aws"
    now = time.time()
    query: dict[str, str] = {key: ",".join(values) for key, values in request.args.to_dict(flat=False).items()}
    headers = {name.lower(): value for name, value in request.headers if name not in ("Authorization", "Cookie")}
    forwarded = {
        "host": domain,
        "x-forwarded-for": request.remote_addr or "",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
        "x-amzn-trace-id": f"Root=1-{int(now):x}-{uuid.uuid4().hex[:24]}",
    }
    context = {
        "accountId": ACCOUNT_ID if caller else "anonymous",
        "apiId": url_id,
        "domainName": domain,
        "domainPrefix": url_id,
        "http": {
            "method": request.method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.remote_addr,
            "userAgent": request.headers.get("User-Agent"),
        },
        "requestId": str(uuid.uuid4()),
        "routeKey": "$default",
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }
    if caller:
        identity = {"accessKey": caller.access_key, "callerId": caller.user_id, "userId": caller.user_id}
        context["authorizer"] = {"iam": {"accountId": ACCOUNT_ID, "userArn": caller.arn, **identity}}
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": request.query_string.decode("ascii", "replace"),
        "headers": headers | forwarded,
        "requestContext": context,
        "isBase64Encoded": False,
    }
    if request.cookies:
        event["cookies"] = [f"{name}={value}" for name, value in request.cookies.items()]
    if query:
        event["queryStringParameters"] = query
    if body:
        is_text = (request.mimetype or "").startswith(_TEXT)
        event["isBase64Encoded"] = not is_text
        event["body"] = body.decode("utf-8", "replace") if is_text else base64.b64encode(body).decode()
    return event


def _response(payload: bytes) -> Response:
    """What a caller gets for a function's answer: one with a statusCode as it says, any other one as JSON."""
    try:
        answer = json.loads(payload)
        if not isinstance(answer, dict) or "statusCode" not in answer:
            return Response(payload, 200, mimetype="application/json")
        body = answer.get("body") or ""
        content = base64.b64decode(body, validate=True) if answer.get("isBase64Encoded") else body.encode()
        response = Response(content, int(answer["statusCode"]), mimetype="application/json")
        for name, value in (answer.get("headers") or {}).items():
            response.headers[name] = str(value)
        for cookie in answer.get("cookies") or []:
            response.headers.add("Set-Cookie", cookie)
        return response
    except (AttributeError, TypeError, ValueError):
        return _bad_gateway()


def _bad_gateway() -> Response:
    """What AWS says of a function that failed, or answered what is no answer; why stands in the function's log."""
    return Response("Internal Server Error", 502, mimetype="application/json")

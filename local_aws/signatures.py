"""Who signed a request: AWS's Signature Version 4, checked as a service checks it."""

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from moto.sts.models import sts_backends
from werkzeug.wrappers import Request

from local_aws.cloud import ServiceError
from local_aws.environment import ACCOUNT_ID, ANYBODY, REGION

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/,]+)/([^/,]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;_-]+), ?Signature=([0-9a-f]{64})"
)
_TOLERANCE = timedelta(minutes=5)


class Caller(NamedTuple):
    """Whose credentials a request was signed with."""

    access_key: str
    user_id: str
    arn: str
    role_arn: str | None


class _Check(SigV4Auth):  # type: ignore[misc] # botocore has no types
    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        return request.headers  # what the caller says that it signed; botocore would leave some out


def caller_of(request: Request, service: str) -> Caller:
    """The caller of a request to `service`. Raises ServiceError, 403, when it is not signed, or not rightly."""
    match = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
    if match is None:
        raise _refusal("AccessDeniedException", "Forbidden. The request is not signed.")
    key, day, region, signed_for, signed, signature = match.groups()
    caller, secret, token = _credentials(key)
    if token != request.headers.get("X-Amz-Security-Token"):
        raise _refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
    time = request.headers.get("X-Amz-Date", "")
    names = signed.split(";")
    if (region, signed_for) != (REGION, service) or not time.startswith(day) or not {"host", "x-amz-date"} <= {*names}:
        raise _refusal("InvalidSignatureException", "Credential should be scoped to a valid region and service.")
    _require_recent(time)
    body = request.get_data()
    sent = request.headers.get("X-Amz-Content-Sha256")
    if sent not in (None, hashlib.sha256(body).hexdigest()) or not hmac.compare_digest(
        signature, _signature(request, names, time, Credentials(key, secret), service)
    ):
        message = "The request signature we calculated does not match the signature you provided."
        raise _refusal("InvalidSignatureException", f"{message} Check your AWS Secret Access Key and signing method.")
    return caller


def _credentials(key: str) -> tuple[Caller, str, str | None]:
    """(caller, secret, session token) of an access key: the stand-in's own, or a role's."""
    if key == ANYBODY["AccessKeyId"]:
        return Caller(key, ACCOUNT_ID, f"arn:aws:iam::{ACCOUNT_ID}:root", None), ANYBODY["SecretAccessKey"], None
    session = sts_backends[ACCOUNT_ID]["aws"].get_assumed_role_from_access_key(key)
    if session is None:
        raise _refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
    caller = Caller(key, session.user_id, session.arn, session.role_arn)
    return caller, session.secret_access_key, session.session_token


def _require_recent(time: str) -> None:
    try:
        age = datetime.now(UTC) - datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise _refusal("InvalidSignatureException", "X-Amz-Date is not a date.") from None
    if abs(age) > _TOLERANCE:
        raise _refusal("InvalidSignatureException", f"Signature expired or not yet valid: {time}.")


def _signature(request: Request, names: list[str], time: str, credentials: Credentials, service: str) -> str:
    raw: str = request.environ["REQUEST_URI"]  # as it was sent: what was signed is not decoded
    headers = {name: request.headers.get(name, "") for name in names}
    signed = AWSRequest(request.method, f"http://{request.host}{raw}", headers, request.get_data())
    signed.context["timestamp"] = time
    check = _Check(credentials, service, REGION)
    signature: str = check.signature(check.string_to_sign(signed, check.canonical_request(signed)), signed)
    return signature


def _refusal(code: str, message: str) -> ServiceError:
    return ServiceError(code, message, 403)

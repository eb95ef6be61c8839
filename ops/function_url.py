"""Asking a function by its URL, which takes only what is signed with AWS credentials."""

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies


class FunctionUrl:
    """A function URL behind `AWS_IAM`, asked in the name of whoever these credentials belong to."""

    def __init__(self, url: str, credentials: Credentials, region: str) -> None:
        self._url, self._credentials, self._region = url.rstrip("/"), credentials, region
        self._http = URLLib3Session(timeout=65, proxies=get_environ_proxies(url))

    def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> AWSResponse:
        """The answer, whatever its status. Raises BotoCoreError when there is none."""
        request = AWSRequest(method, self._url + path, headers, body)
        SigV4Auth(self._credentials.get_frozen_credentials(), "lambda", self._region).add_auth(request)
        return self._http.send(request.prepare())

"""The record: a distinct set of calls, each with its count."""

import json
import re
import threading
from collections import Counter, defaultdict
from typing import Any
from urllib.parse import unquote

from moto.sts.models import sts_backends

from local_aws.calls.requests import Call, calls_of, object_calls
from local_aws.environment import ACCOUNT_ID

# …Credential=<access key>/<date>/<region>/<service>/aws4_request, in a header or in a presigned address.
_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/aws4_request")
_EXAMPLES = 32  # keys of one split, run or checkpoint folder that are told apart


class Record:
    """What each role called. Thousands of requests become a few hundred lines."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Call]] = Counter()
        self._examples: defaultdict[tuple[str, str, str], list[Call]] = defaultdict(list)
        self._roles: dict[str, str | None] = {}
        self._lock = threading.Lock()

    def observe(self, environ: dict[str, Any]) -> None:
        """Note what a request asks for, before it is answered."""
        signature = environ.get("HTTP_AUTHORIZATION") or unquote(environ.get("QUERY_STRING", ""))
        if (match := _CREDENTIAL.search(signature)) and (role := self._role(match[1])):
            self.note(role, calls_of(environ, match[2]))

    def note(self, role_arn: str, calls: list[Call]) -> None:
        with self._lock:
            for call in calls:
                self._counts[role_arn, self._representative(role_arn, call)] += 1

    def note_object(self, role_arn: str, operation: str, bucket: str, key: str) -> None:
        """Note an object that the stand-in itself takes from moto's memory in the name of a role."""
        self.note(role_arn, object_calls(operation, bucket, key))

    def lines(self) -> str:
        """A JSON object a line: {"role", "action", "resource", "context", "count"}."""
        with self._lock:
            counts = sorted(self._counts.items())
        return "".join(
            json.dumps({"role": role, **call._asdict(), "context": dict(call.context), "count": count}) + "\n"
            for (role, call), count in counts
        )

    def _role(self, access_key: str) -> str | None:
        """ARN of the role whose session has this access key, or None when it is no role's."""
        if access_key not in self._roles:
            session = sts_backends[ACCOUNT_ID]["aws"].get_assumed_role_from_access_key(access_key)
            self._roles[access_key] = session.role_arn if session else None
        return self._roles[access_key]

    def _representative(self, role_arn: str, call: Call) -> Call:
        """The call itself, or, when it is about one object of many in the same place, one that was noted before."""
        place = "/".join(call.resource.split("/")[:4])  # bucket and three folders: …/datasets/dogs/train
        if not call.resource.startswith("arn:aws:s3:::") or place == call.resource:
            return call
        examples = self._examples[role_arn, call.action, place]
        if call not in examples:
            if len(examples) == _EXAMPLES:
                return examples[-1]
            examples.append(call)
        return call

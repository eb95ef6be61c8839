"""S3."""
# mypy: disable-error-code="method-assign"

import json
from fnmatch import fnmatchcase

from moto.s3.models import FakeBucket

_LOGGING_SERVICE = "logging.s3.amazonaws.com"


def let_policies_grant_log_delivery() -> None:
    """Take a bucket for a target of access logs where its policy lets the logging service put objects there.

    Moto (up to 5.2.5) wants the very text <prefix>* as the only resource, fails on a principal "*" in any other
    statement, and so refuses PutBucketLogging.
    """

    def _log_permissions_enabled_policy(target_bucket: FakeBucket, target_prefix: str | None) -> bool:
        policy = json.loads(target_bucket.policy or b"{}")
        log_object = f"{target_bucket.arn}/{target_prefix or ''}log"
        return any(
            statement["Effect"] == "Allow"
            and _LOGGING_SERVICE in _list(statement["Principal"].get("Service"))
            and "s3:PutObject" in _list(statement["Action"])
            and any(fnmatchcase(log_object, pattern) for pattern in _list(statement["Resource"]))
            for statement in policy.get("Statement", [])
            if statement.get("Principal") != "*"
        )

    FakeBucket._log_permissions_enabled_policy = staticmethod(_log_permissions_enabled_policy)


def _list(value: str | list[str] | None) -> list[str]:
    """IAM's way to leave out the brackets round one."""
    return [value] if isinstance(value, str) else value or []

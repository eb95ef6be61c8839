"""Policy evaluation."""
# mypy: disable-error-code="attr-defined, method-assign"

from moto.iam.access_control import IAMPolicyStatement, PermissionResult


def let_requests_count_as_tls() -> None:
    """Take each request as one that came over TLS: a statement about requests without it does not apply.

    Moto (up to 5.2.5) knows no condition operator but StringEquals and takes every other as fulfilled, so a bucket
    policy that denies requests without TLS denies every PutObject.
    """
    evaluate = IAMPolicyStatement.is_action_permitted

    def is_action_permitted(
        self: IAMPolicyStatement,
        action: str,
        resource: str = "*",
        principal: str | None = None,
        incoming_condition_values: dict[str, str] | None = None,
    ) -> PermissionResult:
        wanted = self._statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")
        if str(wanted).lower() == "false":
            return PermissionResult.NEUTRAL
        return evaluate(self, action, resource, principal, incoming_condition_values)

    IAMPolicyStatement.is_action_permitted = is_action_permitted

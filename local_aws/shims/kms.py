"""KMS."""
# mypy: disable-error-code="attr-defined, method-assign"

import json

from moto.kms.responses import KmsResponse

_DEFAULT_PERIOD_DAYS = 365


def read_back_rotation_period() -> None:
    """Answer how often a key is rotated, as it was asked for.

    Moto (up to 5.2.5) drops the period, and Terraform waits for it in vain.
    """
    enable, status = KmsResponse.enable_key_rotation, KmsResponse.get_key_rotation_status

    def enable_key_rotation(self: KmsResponse) -> str:
        answer = enable(self)
        key = self.kms_backend.describe_key(self._get_param("KeyId"))
        key.rotation_period_days = self._get_param("RotationPeriodInDays") or _DEFAULT_PERIOD_DAYS
        return answer

    def get_key_rotation_status(self: KmsResponse) -> str:
        answer = json.loads(status(self))
        if answer["KeyRotationEnabled"]:
            key = self.kms_backend.describe_key(self._get_param("KeyId"))
            answer["RotationPeriodInDays"] = getattr(key, "rotation_period_days", _DEFAULT_PERIOD_DAYS)
        return json.dumps(answer)

    KmsResponse.enable_key_rotation = enable_key_rotation
    KmsResponse.get_key_rotation_status = get_key_rotation_status

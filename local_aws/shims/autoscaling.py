"""Application Auto Scaling."""
# mypy: disable-error-code="attr-defined, method-assign"

import json
from typing import Any

from moto.applicationautoscaling.exceptions import AWSValidationException
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse


def add_tags_of_scalable_targets() -> None:
    """Keep the tags of RegisterScalableTarget, and answer ListTagsForResource, which the provider calls on each read.

    Moto (up to 5.2.5) drops the tags and answers the operations on them with a 500.
    """
    register = ApplicationAutoScalingResponse.register_scalable_target

    def register_scalable_target(self: ApplicationAutoScalingResponse) -> str:
        answer = register(self)
        target = _target(self, json.loads(answer)["ScalableTargetARN"])
        target.tags = {**getattr(target, "tags", {}), **(self._get_param("Tags") or {})}
        return answer

    def list_tags_for_resource(self: ApplicationAutoScalingResponse) -> str:
        return json.dumps({"Tags": getattr(_target(self, self._get_param("ResourceARN")), "tags", {})})

    def tag_resource(self: ApplicationAutoScalingResponse) -> str:
        _target(self, self._get_param("ResourceARN")).tags |= self._get_param("Tags")
        return "{}"

    def untag_resource(self: ApplicationAutoScalingResponse) -> str:
        tags = _target(self, self._get_param("ResourceARN")).tags
        for key in self._get_param("TagKeys"):
            tags.pop(key, None)
        return "{}"

    ApplicationAutoScalingResponse.tag_resource = tag_resource
    ApplicationAutoScalingResponse.untag_resource = untag_resource
    ApplicationAutoScalingResponse.register_scalable_target = register_scalable_target
    ApplicationAutoScalingResponse.list_tags_for_resource = list_tags_for_resource


def _target(response: ApplicationAutoScalingResponse, arn: str) -> Any:
    targets_by_dimension = response.applicationautoscaling_backend.targets
    for targets in targets_by_dimension.values():
        for target in targets.values():
            if target.arn == arn:
                return target
    raise AWSValidationException(f"No scalable target found for resource ARN: {arn}")

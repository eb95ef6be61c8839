"""SageMaker notebook instances: bookkeeping only, nothing runs."""
# mypy: disable-error-code="attr-defined, method-assign"

from typing import Any, cast

from moto.core.responses import ActionResult
from moto.sagemaker.models import SageMakerModelBackend
from moto.sagemaker.responses import SageMakerResponse

_DROPPED = ("PlatformIdentifier", "InstanceMetadataServiceConfiguration")
_LIFECYCLE_ARN = ":notebook-instance-lifecycle-config/"


def read_back_platform_and_metadata_service() -> None:
    """Answer a notebook's platform and metadata service as they were set.

    Moto (up to 5.2.5) drops both, and Terraform would replace the notebook on every apply.
    """
    create, describe = SageMakerResponse.create_notebook_instance, SageMakerResponse.describe_notebook_instance

    def create_notebook_instance(self: SageMakerResponse) -> ActionResult:
        answer = create(self)
        notebook = self.sagemaker_backend.get_notebook_instance(self._get_param("NotebookInstanceName"))
        notebook.dropped = {name: value for name in _DROPPED if (value := self._get_param(name))}
        return answer

    def describe_notebook_instance(self: SageMakerResponse) -> ActionResult:
        result = cast(dict[str, Any], describe(self).result)
        notebook = self.sagemaker_backend.get_notebook_instance(self._get_param("NotebookInstanceName"))
        return ActionResult({**result, **notebook.dropped})

    SageMakerResponse.create_notebook_instance = create_notebook_instance
    SageMakerResponse.describe_notebook_instance = describe_notebook_instance


def list_lifecycle_configurations() -> None:
    """Answer ListNotebookInstanceLifecycleConfigs, by which the stand-in looks for what a destroy left.

    Moto (up to 5.2.5) has no such operation: 500.
    """

    def list_notebook_instance_lifecycle_configs(self: SageMakerResponse) -> ActionResult:
        configurations = self.sagemaker_backend.notebook_instance_lifecycle_configurations.values()
        listed = [
            {
                "NotebookInstanceLifecycleConfigName": item.notebook_instance_lifecycle_config_name,
                "NotebookInstanceLifecycleConfigArn": item.arn,
                "CreationTime": item.creation_time,
                "LastModifiedTime": item.last_modified_time,
            }
            for item in configurations
        ]
        return ActionResult({"NotebookInstanceLifecycleConfigs": listed})

    SageMakerResponse.list_notebook_instance_lifecycle_configs = list_notebook_instance_lifecycle_configs


def add_tags_of_lifecycle_configurations() -> None:
    """Keep the tags of a notebook's lifecycle configuration, and find it by its ARN.

    Moto (up to 5.2.5) answers ListTags of one, which the provider calls on each read, with a 500.
    """
    find, create = (
        SageMakerModelBackend._get_resource_from_arn,
        SageMakerResponse.create_notebook_instance_lifecycle_config,
    )

    def _get_resource_from_arn(self: SageMakerModelBackend, arn: str) -> Any:
        if _LIFECYCLE_ARN in arn:
            return self.notebook_instance_lifecycle_configurations[arn.rsplit("/", 1)[-1]]
        return find(self, arn)

    def create_notebook_instance_lifecycle_config(self: SageMakerResponse) -> ActionResult:
        answer = create(self)
        name = self._get_param("NotebookInstanceLifecycleConfigName")
        configuration = self.sagemaker_backend.notebook_instance_lifecycle_configurations[name]
        configuration.tags = self._get_param("Tags") or []
        return answer

    SageMakerModelBackend._get_resource_from_arn = _get_resource_from_arn
    SageMakerResponse.create_notebook_instance_lifecycle_config = create_notebook_instance_lifecycle_config

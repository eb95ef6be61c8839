"""Systems Manager."""
# mypy: disable-error-code="abstract, method-assign"

from moto.core.utils import utcnow
from moto.ssm.models import Parameter, ParameterDict

from local_aws.shims.ec2 import machine_image_of

_PUBLIC_PATH = "/aws/service/deeplearning/ami/"


def publish_deep_learning_images() -> None:
    """Answer each public parameter of the Deep Learning AMIs with an image that this stand-in has.

    Moto (up to 5.2.5) knows those of Amazon Linux and ECS only, and PutParameter refuses names below /aws/.
    """
    load = ParameterDict._check_loading_status

    def _check_loading_status(self: ParameterDict, key: str) -> None:
        load(self, key)
        # dict's own methods: ParameterDict's ask this one.
        if key and key.startswith(_PUBLIC_PATH) and key.endswith("/ami-id") and not dict.__contains__(self, key):
            image = machine_image_of(key, self.account_id, self.region_name)
            published = Parameter(
                account_id=self.account_id,
                name=key,
                value=image,
                parameter_type="String",
                description=None,
                allowed_pattern=None,
                keyid=None,
                last_modified_date=utcnow(),
                version=1,
                data_type="aws:ec2:image",
            )
            dict.__setitem__(self, key, [published])

    ParameterDict._check_loading_status = _check_loading_status

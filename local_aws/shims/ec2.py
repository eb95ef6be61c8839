"""EC2."""
# mypy: disable-error-code="attr-defined, method-assign, assignment"

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateVersion
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.responses.instances import InstanceResponse
from moto.ssm.models import ssm_backends

_RESOLVE = "resolve:ssm:"
_FORGOTTEN = (
    "EbsOptimized",
    "IamInstanceProfile",
    "ImageId",
    "InstanceInitiatedShutdownBehavior",
    "MetadataOptions",
    "Monitoring",
    "NetworkInterfaces",
)


def machine_image_of(parameter: str, account_id: str, region: str) -> str:
    """One of moto's machine images that suits the name of a Deep Learning AMI's parameter: Ubuntu or Amazon Linux."""
    system = "ubuntu" if "ubuntu" in parameter else "amzn-ami-hvm"
    images = ec2_backends[account_id][region].describe_images(filters={"architecture": "x86_64"})
    return min(image.id for image in images if system in (image.name or ""))


def describe_every_rule() -> None:
    """Answer the description of a security group's rule that names a group or a prefix list.

    Moto (up to 5.2.5) answers descriptions of address ranges only.
    """
    create = SecurityGroupRule.__init__

    def __init__(self: SecurityGroupRule, *arguments: Any, **named: Any) -> None:
        create(self, *arguments, **named)
        sources = [*arguments, *named.values()]
        described = (
            source["Description"] for source in sources if isinstance(source, dict) and "Description" in source
        )
        self.described_as = next(described, None)

    SecurityGroupRule.__init__ = __init__
    SecurityGroupRule.description = property(lambda rule: rule.ip_range.get("Description") or rule.described_as)


def keep_tags_of_a_template_out_of_it() -> None:
    """Leave a launch template's own tags out of the tags that it gives to what it launches.

    Moto (up to 5.2.5) adds them to the template's data, and Terraform would take them out with a new version on every
    apply.
    """
    create = LaunchTemplate.create_version

    def create_version(self: LaunchTemplate, data: dict[str, Any], description: str) -> LaunchTemplateVersion:
        given = [item for item in data.pop("TagSpecifications", []) if item["ResourceType"] != "launch-template"]
        return create(self, {**data, **({"TagSpecifications": given} if given else {})}, description)

    LaunchTemplate.create_version = create_version


def run_instances_as_their_template_says() -> None:
    """Take from the launch template what RunInstances leaves out, and the machine image from the parameter it names.

    Moto (up to 5.2.5) takes neither network interfaces nor profile nor metadata options from a template, and keeps
    resolve:ssm:<parameter> as if it were an image.
    """
    run = InstanceResponse.run_instances

    def run_instances(self: InstanceResponse) -> ActionResult:
        if asked := self._get_param("LaunchTemplate"):
            template = self.ec2_backend._get_template_from_args(asked).data
            for name in _FORGOTTEN:
                if name in template and self._get_param(name) is None:
                    self.params[name] = template[name]
        image = self._get_param("ImageId") or ""
        if image.startswith(_RESOLVE):
            parameter = ssm_backends[self.current_account][self.region].get_parameter(image.removeprefix(_RESOLVE))
            self.params["ImageId"] = parameter.value if parameter else image
        return run(self)

    InstanceResponse.run_instances = run_instances

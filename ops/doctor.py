"""Say whether this machine, the credentials and the account of ENV are ready: a line each, ok, problem or not asked.

    ENV=dev python -m ops.doctor --outputs build/dev/outputs.json

Asks, and changes nothing. Exit status: 1 with any problem.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from ops.image import is_in_registry
from ops.outputs import ToolError, read_outputs, remedy
from ops.package import REPOSITORY
from ops.releases import EMPTY

ALLOWED_SKEW_SECONDS = 300  # AWS refuses what was signed earlier, or will be later
UNRESERVED_CONCURRENCY = 100  # which Lambda keeps for functions that reserve none


class NotAsked(Exception):
    """Why a check was left out."""


class Outputs(dict[str, Any]):
    """What Terraform made, or is configured to make. A check that needs something that is not there is left out."""

    def __missing__(self, name: str) -> Any:
        raise NotAsked(f"there is no {name.replace('_', ' ')} yet: run `make infra`.")


# What quotas are held against, by the names of outputs.
_CONFIGURED = """jsonencode({
  region = var.region,
  training_instance_type = var.training_instance_type,
  function_reserved_concurrency = var.function_reserved_concurrency,
  billed = {
    endpoint_instance_type = var.endpoint_instance_type, endpoint_instances = var.endpoint_scaling.min_instances
  }
})"""


def configured(environment: str) -> dict[str, Any]:
    """Of the outputs those that are known before anything is made: a quota takes days to come. Nothing where it fails.

    Terraform evaluates the variables by themselves, without provider, state or credentials.
    """
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(REPOSITORY / "terraform" / "variables.tf", folder)
        file = REPOSITORY / "terraform" / "environments" / f"{environment}.tfvars"
        command = ["terraform", f"-chdir={folder}", "console", f"-var-file={file}"]
        environ = {**os.environ, "TF_DATA_DIR": folder}  # the one that the Makefile names knows a backend
        with contextlib.suppress(OSError, ValueError):
            done = subprocess.run(
                command, input=_CONFIGURED.replace("\n", ""), env=environ, capture_output=True, text=True, check=False
            )
            values = json.loads(json.loads(done.stdout))  # what is null, Terraform's outputs lack, too
            return {name: value for name, value in values.items() if value is not None}
    return {}


class Doctor:
    """Each check says what is well, or raises NotAsked or ToolError."""

    def __init__(self, environment: str, outputs: dict[str, Any]) -> None:
        self.environment, self.outputs = environment, Outputs(outputs)
        self.is_let_in = False

    def checks(self) -> list[Callable[[], str]]:
        here = [self.tools, self.credentials, self.clock, self.region]
        return [*here, self.buckets, self.serving_image, self.training_quota, self.endpoint_quota, self.function_quota]

    def session(self) -> boto3.Session:
        """Where Terraform made everything, whatever this shell's region."""
        if not self.is_let_in:
            raise NotAsked("it takes credentials that lead somewhere.")
        return boto3.Session(region_name=self.outputs["region"])

    def tools(self) -> str:
        done = subprocess.run([REPOSITORY / "ops/check_tools.sh"], stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise ToolError(" ".join(done.stderr.splitlines()))
        return "Python, Terraform and git are there, and new enough."

    def credentials(self) -> str:
        """Go through the door that every target goes through, and take over what it sets."""
        door = [str(REPOSITORY / "ops/in_cloud.sh"), self.environment, "env", "-0"]
        done = subprocess.run(door, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ToolError(done.stderr.strip() + remedy(done.stderr))
        variables = (line.partition("=") for line in done.stdout.split("\0") if line)
        os.environ.clear()
        os.environ.update({name: value for name, _, value in variables})
        self.is_let_in = True
        return done.stderr.strip()

    def clock(self) -> str:
        if self.environment == "local":
            raise NotAsked("the stand-in goes by this machine's own clock.")
        config = Config(signature_version=UNSIGNED, connect_timeout=5, retries={"total_max_attempts": 1})
        try:  # unsigned: it is refused, but not for its time, and the answer is dated
            answer = boto3.client("sts", region_name="us-east-1", config=config).get_caller_identity()
        except ClientError as error:
            answer = error.response
        there = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        skew = round((datetime.now(UTC) - there).total_seconds())
        if abs(skew) > ALLOWED_SKEW_SECONDS:
            refused = f"AWS refuses more than {ALLOWED_SKEW_SECONDS} either way"
            raise ToolError(f"{skew} s ahead of AWS's, and {refused}: set this machine's clock.")
        return f"{skew} s ahead of AWS's."

    def region(self) -> str:
        there, here = self.session().region_name, boto3.Session().region_name
        if here not in (None, there):
            raise ToolError(f"this shell's is {here} and Terraform's is {there}: export AWS_REGION={there}.")
        return f"{there}, as Terraform has it."

    def buckets(self) -> str:
        names = self.outputs["data_bucket"], self.outputs["artifacts_bucket"]
        s3, refused = self.session().client("s3"), []
        for name in names:
            try:
                s3.head_bucket(Bucket=name)
            except ClientError as error:
                refused.append(f"{name} answers {error.response['Error']['Code']}.")
        if refused:
            raise ToolError(f"{' '.join(refused)} 404: run `make infra`; 403: use credentials that may read it.")
        return f"{' and '.join(names)} are reachable."

    def serving_image(self) -> str:
        if named := self.outputs.get("serving_image_uri"):  # Terraform leaves out what is null
            raise NotAsked(f"terraform/environments/{self.environment}.tfvars names one of its own, {named}.")
        session, parameter = self.session(), self.outputs["image_parameter"]
        tag = session.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
        uri = f"{self.outputs['image_repository_url']}:{tag}"
        if tag == EMPTY or not is_in_registry(session, uri):
            missing = "none was built yet" if tag == EMPTY else f"ECR has no {uri}"
            raise ToolError(f"{missing}, and no model can be deployed without it: run `make image`.")
        return f"{uri} is in ECR."

    def training_quota(self) -> str:
        name = f"{self.outputs['training_instance_type']} for training job usage"
        return self._quota("sagemaker", name, 1, "a job on one host; `make tune` and INSTANCES=2 take 2")

    def endpoint_quota(self) -> str:
        billed = self.outputs["billed"]
        name = f"{billed['endpoint_instance_type']} for endpoint usage"
        why = "a deploy runs old and new ones side by side; more once autoscaling has started more"
        return self._quota("sagemaker", name, 2 * billed["endpoint_instances"], why)

    def function_quota(self) -> str:
        reserved = self.outputs.get("function_reserved_concurrency", 0)
        why = f"{reserved} are reserved, and AWS keeps {UNRESERVED_CONCURRENCY} for all others"
        return self._quota("lambda", "Concurrent executions", reserved + UNRESERVED_CONCURRENCY, why)

    def _quota(self, service: str, name: str, needed: int, why: str) -> str:
        """Hold the quota that the account has, or else AWS's default, against what is needed."""
        if self.environment == "local":
            raise NotAsked("the stand-in has no quotas.")
        quotas = self.session().client("service-quotas")
        for operation in ("list_service_quotas", "list_aws_default_service_quotas"):
            for page in quotas.get_paginator(operation).paginate(ServiceCode=service):
                for value in (quota["Value"] for quota in page["Quotas"] if quota["QuotaName"] == name):
                    said = f"'{name}' is {value:g}, and {needed} are needed ({why})"
                    if value < needed:
                        raise ToolError(f"{said}: ask for more in the Service Quotas console; it takes hours to days.")
                    return f"{said}."
        raise NotAsked(f"Service Quotas lists no '{name}'.")


def verdict(check: Callable[[], str]) -> tuple[str, str]:
    """("ok", "problem" or "not asked", a sentence). No check keeps the next one from being made."""
    try:
        return "ok", check()
    except NotAsked as reason:
        return "not asked", str(reason)
    except ToolError as problem:
        return "problem", str(problem)
    except (ClientError, BotoCoreError, ResponseParserError) as error:
        return "problem", f"{error}{remedy(error)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outputs", type=Path, required=True)
    path, environment = parser.parse_args().outputs, os.environ["ENV"]
    try:
        outputs = read_outputs(path)
    except ToolError:  # nothing is provisioned
        outputs = configured(environment)
    doctor = Doctor(environment, outputs)
    statuses = set()
    for check in doctor.checks():
        status, said = verdict(check)
        statuses.add(status)
        print(f"{status:9}  {check.__name__.replace('_', ' ')}: {said}", flush=True)
    sys.exit("problem" in statuses)


if __name__ == "__main__":
    main()

"""Train on an EC2 instance of its own, show the log as it grows, and take the instance away again, however it ends.

    python -m ops.train_ec2 --outputs build/dev/outputs.json --state build/dev/ec2_run \
        --source build/packages/source.tar.gz --run "" -- --epochs 40

What comes after the two dashes goes to train.py as it is; INSTANCE_TYPE and MAX_SECONDS come from the environment. With
--end it takes away what an earlier call left that was killed.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from inference.artifact import RUN_ID_PATTERN
from ops.outputs import ToolError, read_outputs, remedy, run
from ops.terraform import run_to_its_end
from ops.train import hyperparameters, whole_number
from training.inputs import check_uploaded, upload

ROOT = "terraform/ec2_run"
POLL_SECONDS = 2
# Between the power-off, or a start that never came to the script, and the end of patience.
SILENT_SECONDS = 60


class Stack:
    """terraform/ec2_run for one run, with a state of its own."""

    def __init__(self, outputs: dict[str, Any], state: Path, run_id: str) -> None:
        environment = os.environ["ENV"]
        project = outputs["function_name"].removesuffix(f"-{environment}-predict")
        self._log = state / f"{run_id}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._environment = {**os.environ, "TF_DATA_DIR": str((state / run_id).resolve())}
        passed_on = ("region", "data_bucket", "artifacts_bucket", "key_arn", "permissions_boundary_arn")
        values = {name: outputs[name] for name in passed_on if name in outputs}  # Terraform leaves out what is null
        values |= {"project": project, "environment": environment, "run_id": run_id, "commit": os.environ["COMMIT"]}
        values["emulated"] = json.dumps(environment == "local")
        self._variables = ["-input=false", "-no-color", *(f"-var={name}={value}" for name, value in values.items())]
        backend = f"-backend-config=../environments/{environment}.s3.tfbackend"
        key = f"-backend-config=key={project}/{environment}/ec2_run/{run_id}.tfstate"
        if subprocess.run(["ops/terraform_init.sh", ROOT, backend, key], env=self._environment, check=False).returncode:
            raise ToolError("Nothing was started: Terraform could not be initialised.")

    def apply(self, training: dict[str, Any], instance_type: str) -> None:
        """Make the instance, which begins to train. Raises ToolError with Terraform's reason."""
        kind = [f"-var=instance_type={instance_type}"] if instance_type else []
        self._terraform("apply", f"-var=training={json.dumps(training)}", *kind)

    def destroy(self) -> None:
        """Take away the instance, and all that was made for it. Raises ToolError."""
        self._terraform("destroy")

    def _terraform(self, action: str, *variables: str) -> None:
        command = ["terraform", f"-chdir={ROOT}", action, "-auto-approve", *self._variables, *variables]
        with self._log.open("w") as log:
            status = run_to_its_end(command, env=self._environment, stdout=log, stderr=subprocess.STDOUT)
        if status:
            lines = [line.strip(" │╷╵") for line in self._log.read_text().splitlines()]
            reason = next((line for line in lines if line.startswith("Error: ")), f"see {self._log}")
            raise ToolError(f"terraform {action} failed: {reason}{remedy(self._log.read_text())}")


def check_free(s3: Any, bucket: str, run_id: str) -> None:
    """Raises ToolError for a run id that is taken; one that has checkpoints and no model may go on."""

    def there(prefix: str) -> bool:
        return bool(s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)["KeyCount"])

    has_model = there(f"runs/{run_id}/output/model.tar.gz")
    if has_model or (there(f"runs/{run_id}/") and not there(f"checkpoints/{run_id}/")):
        raise ToolError(f"There is a run {run_id} already: choose another RUN, or leave it out.")
    for name in ("status.json", "log.txt"):  # of an attempt before this one: shown, they would stand for the new ones
        s3.delete_object(Bucket=bucket, Key=f"runs/{run_id}/{name}")


def read(s3: Any, bucket: str, key: str) -> bytes:
    """An object's content; nothing where there is none yet."""
    try:
        return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return b""


def follow(session: boto3.Session, bucket: str, run_id: str) -> dict[str, str]:
    """Print the run's log as it comes. Returns its status: `status`, `exit_status`, `reason`. Raises ToolError."""
    s3, ec2, shown, gone_at = session.client("s3"), session.client("ec2"), 0, 0.0
    mine = [{"Name": "tag:Run", "Values": [run_id]}, {"Name": "instance-state-name", "Values": ["pending", "running"]}]
    while True:
        status = read(s3, bucket, f"runs/{run_id}/status.json")
        log = read(s3, bucket, f"runs/{run_id}/log.txt")
        print(log[shown:].decode(errors="replace"), end="", flush=True)
        shown = len(log)
        if status:
            return dict(json.loads(status))
        if ec2.describe_instances(Filters=mine)["Reservations"]:
            gone_at = 0.0
        elif not gone_at:
            gone_at = time.monotonic()
        elif time.monotonic() - gone_at > SILENT_SECONDS:
            raise ToolError(f"The instance of run {run_id} is gone and left no status: see its log, if there is one.")
        time.sleep(POLL_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True, help="folder for Terraform's working data of runs")
    parser.add_argument("--source", type=Path)
    parser.add_argument("--dataset", default="dogs")
    parser.add_argument("--run", required=True)
    parser.add_argument("--end", action="store_true")
    parser.add_argument("train_arguments", nargs="*")
    arguments = parser.parse_args()
    outputs, chosen = read_outputs(arguments.outputs), hyperparameters(arguments.train_arguments)
    run_id = arguments.run or f"run-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}"
    if not RUN_ID_PATTERN.fullmatch(run_id) or (arguments.end and not arguments.run):
        raise ToolError(f"{arguments.run!r} is no run id: RUN=<small letters, digits and dashes, 40 at most>.")
    if arguments.end:
        Stack(outputs, arguments.state, run_id).destroy()
        print(f"Nothing is left of the instance of run {run_id}.")
        return
    max_seconds = whole_number("MAX_SECONDS", 6 * 3600, 1, 7 * 24 * 3600)
    session = boto3.Session(region_name=outputs["region"])
    instance_type = os.environ.get("INSTANCE_TYPE", "")
    if instance_type and instance_type not in session.client("ec2").meta.service_model.shape_for("InstanceType").enum:
        raise ToolError(f"EC2 has no instance type {instance_type!r}: take one such as m5.xlarge.")
    s3, bucket = session.client("s3"), outputs["artifacts_bucket"]
    check_uploaded(s3, outputs["data_bucket"], arguments.dataset)
    check_free(s3, bucket, run_id)
    source = upload(s3, bucket, arguments.source.read_bytes(), "tar.gz")
    training = {
        "dataset": arguments.dataset,
        "source_sha256": Path(source).name.partition(".")[0],
        "arguments": [word for name, value in chosen.items() for word in (f"--{name}", value)],
        "max_seconds": max_seconds,
    }
    stack = Stack(outputs, arguments.state, run_id)
    try:
        try:
            stack.apply(training, instance_type)
        except ToolError:
            if not read(s3, bucket, f"runs/{run_id}/status.json"):  # it ended before Terraform saw it run
                raise
        print(f"Run {run_id} started on an instance of its own.", flush=True)
        end = follow(session, bucket, run_id)
    except KeyboardInterrupt:
        raise ToolError(f"Stopped. RUN={run_id} goes on from its last checkpoint.") from None
    finally:
        stack.destroy()
        print(f"The instance of run {run_id} is gone.", flush=True)
    if end["status"] != "completed":
        raise ToolError(f"Run {run_id} ended as {end['status']} ({end['exit_status']}): {end['reason']}")
    print(f"Run {run_id} completed: `make deploy RUN={run_id}` serves its model.")


if __name__ == "__main__":
    run(main)

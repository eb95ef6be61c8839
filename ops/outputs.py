"""What Terraform made, as `make infra` wrote it down; and how a tool says in one sentence what is wrong."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from training.errors import TrainingError


class ToolError(Exception):
    """One sentence for the user: what is wrong, and what to do."""


def read_outputs(path: Path) -> dict[str, Any]:
    """{"data_bucket": …, "function_name": …} from the file that `terraform output -json` filled."""
    try:
        outputs = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        outputs = {}
    if not outputs:
        raise ToolError("Nothing is provisioned yet: run `make infra` first.")
    return {name: output["value"] for name, output in outputs.items()}


# By the error's code, or by what it says where it has none; a part is enough.
REMEDIES = {
    "ResourceLimitExceeded": "Ask for a higher quota in the Service Quotas console, or for less.",
    "CapacityError": "AWS has no such instance free: try another INSTANCE_TYPE, or later.",
    "InsufficientInstanceCapacity": "AWS has no such instance free: try another INSTANCE_TYPE, or later.",
    "VcpuLimitExceeded": "Ask for a higher quota in the Service Quotas console, or take a smaller INSTANCE_TYPE.",
    "VPCIdNotSpecified": "The account has no default network: name a subnet, TF_VAR_subnet_id=<its id>.",
    "Unable to locate credentials": "Log in, or name a profile: AWS_PROFILE=<its name>.",
    "config profile": "`aws configure list-profiles` lists those there are.",
    "InvalidClientTokenId": "AWS knows these keys no more: use others.",
    "ExpiredToken": "Log in again.",
    "AccessDenied": "These credentials may not do that: use others, or have them allowed to.",
    'URL: "': "Nothing answers there: look at the network, and at HTTPS_PROXY.",
}


def remedy(error: Exception | str) -> str:
    """What to do about an error of AWS's, or about a reason that AWS gives; nothing where that is not known."""
    return next((f" {advice}" for code, advice in REMEDIES.items() if code in str(error)), "")


def goes_on(what: str, command: str) -> ToolError:
    """To raise when the watching ends and not what was watched; `command` stops that, by the AWS CLI."""
    aws = f".venv/bin/aws {command}"
    stop = f"({prefix}{aws})" if (prefix := os.environ.get("SHELL_PREFIX")) else aws
    return ToolError(f"{what} goes on without being watched; to stop it: {stop}")


def columns(rows: Sequence[Sequence[str]]) -> str:
    """A table for people: each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def run(main: Callable[[], None]) -> None:
    """Run a tool's main function; turn what it cannot help into one sentence and a non-zero status."""
    try:
        main()
    except (ToolError, TrainingError) as error:
        sys.exit(str(error))
    except (ClientError, BotoCoreError, Boto3Error) as error:
        sys.exit(f"AWS refused: {error}{remedy(error)}")
    except KeyboardInterrupt:
        sys.exit("Stopped.")

"""What Terraform made, as `make infra` wrote it down; and how a tool says in one sentence what is wrong."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def run(main: Callable[[], None]) -> None:
    """Run a tool's main function; turn what it cannot help into one sentence and a non-zero status."""
    try:
        main()
    except (ToolError, TrainingError) as error:
        sys.exit(str(error))
    except (ClientError, BotoCoreError) as error:
        sys.exit(f"AWS refused: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped.")

"""What the demo refuses before it begins; tests/end_to_end has what it runs."""

import subprocess
import sys

from local_aws.home import REPOSITORY


def test_photographs_that_the_demo_would_delete_are_refused() -> None:
    command = [sys.executable, "-m", "local_aws.demo", "--data", "build/demo/../demo/drawn"]
    refused = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    said = "Each demo empties build/demo first: move the photographs out of build/demo/../demo/drawn."
    assert refused.stderr.strip() == said

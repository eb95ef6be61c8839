"""A user at the command line, with a stand-in of their own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local_aws.clients import client
from local_aws.drawn_breeds import draw_breeds
from local_aws.environment import client_environment
from local_aws.home import REPOSITORY, Home

DATASET = "end-to-end"
ENDPOINT = "dogbreed-local"
NO_CHANGES = "No changes. Your infrastructure matches the configuration."


class Journey:
    """Runs targets against a stand-in whose home is a folder of this test."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "stand_in")
        self.data = folder / "photographs"
        own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        # A user's own account must be out of reach whatever is set.
        self.environment = {**own, "LOCAL_AWS_HOME": str(self.home.path), "AWS_PROFILE": "production"}

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            # A commit of its own: whoever commits meanwhile changes a tag on everything.
            ["make", "--no-print-directory", f"DATASET={DATASET}", "COMMIT=0000000", *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def succeed(self, *arguments: str) -> str:
        done = self.make(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def refuse(self, *arguments: str) -> str:
        """What a target says that is refused: no traceback, and one sentence behind the line that names the cloud."""
        done = self.make(*arguments)
        assert done.returncode != 0
        assert "Traceback" not in done.stdout + done.stderr
        said = [line for line in done.stderr.splitlines() if not line.startswith(("ENV=local", "make: "))]
        assert len(said) == 1, done.stderr
        return said[0]

    def calls(self) -> str:
        """What roles called, as the stand-in recorded it."""
        command = [sys.executable, "-m", "local_aws", "calls"]
        return subprocess.run(
            command, cwd=REPOSITORY, env=self.environment, capture_output=True, text=True, check=True
        ).stdout

    @property
    def url(self) -> str:
        record = self.home.read_record()
        assert record is not None
        return str(record["url"])

    def client(self, service: str) -> Any:
        return client(service, client_environment(self.url))

    def releases(self) -> str:
        return str(self.client("ssm").get_parameter(Name="/dogbreed/local/releases")["Parameter"]["Value"])

    def instances(self) -> int:
        endpoint = self.client("sagemaker").describe_endpoint(EndpointName=ENDPOINT)
        return int(endpoint["ProductionVariants"][0]["DesiredInstanceCount"])

    def scale(self, instances: int) -> None:
        """What autoscaling does by itself."""
        self.client("sagemaker").update_endpoint_weights_and_capacities(
            EndpointName=ENDPOINT,
            DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": instances}],
        )


@contextmanager
def with_drawn_dogs(folder: Path) -> Iterator[Journey]:
    """A stand-in that is provisioned and has a data set of drawn dogs."""
    path = Journey(folder)
    draw_breeds(path.data)
    path.succeed("up")
    path.succeed("infra")
    path.succeed("data", f"DATA={path.data}")
    yield path
    path.make("down")
    path.home.kill_processes()
    shutil.rmtree(REPOSITORY / "build" / "datasets" / DATASET, ignore_errors=True)

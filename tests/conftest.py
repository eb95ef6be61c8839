"""What several rooms share: the option --full, a stand-in cloud, drawn dogs, and where the real photographs are."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3

from local_aws.clients import client
from local_aws.drawn_breeds import draw_breeds
from local_aws.environment import CALLS_PATH, client_environment
from local_aws.home import HOME_VARIABLE, REPOSITORY, Home


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="every check with its full count, and the figures it found")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "counts(sample, full): how often `count` lets it try, without and with --full")
    config.addinivalue_line("markers", "full: runs only with --full")


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "trained" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("trained"))  # one training for all that only look at its results
    if config.getoption("full"):
        return
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(pytest.mark.skip(reason="takes too long for every day: `make verify` runs it"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """With --full, print what the tests gave to `record_property`, a line each."""
    if not config.getoption("full"):
        return
    terminalreporter.section("figures")
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, value in report.user_properties:
            terminalreporter.line(f"{name}: {value}")


@pytest.fixture
def count(request: pytest.FixtureRequest) -> int:
    """How often the test is to try: its marker `counts` says it."""
    marker = request.node.get_closest_marker("counts")
    return int(marker.kwargs["full" if request.config.getoption("full") else "sample"])


def run_local_aws(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local_aws", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, HOME_VARIABLE: str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about"
        time.sleep(0.05)


class StandInUnderTest:
    """A stand-in that runs for the tests of one worker."""

    def __init__(self, home: Path) -> None:
        self.home = Home(home)
        record = self.home.read_record()
        assert record is not None
        self.url: str = record["url"]
        self.variables = client_environment(self.url)

    def listening_addresses(self) -> set[str]:
        """Where any of its processes listens."""
        found: set[str] = set()
        for process in self.home.processes():
            with suppress(psutil.NoSuchProcess):  # it may end while it is looked at
                connections = process.net_connections(kind="inet")
                found |= {one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN}
        return found

    def client(self, service: str) -> Any:
        return client(service, self.variables)

    def client_of_role(self, service: str, role_arn: str) -> Any:
        session = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="test")
        return client(service, client_environment(self.url, session["Credentials"]))

    def calls_of_role(self, role_arn: str) -> list[dict[str, Any]]:
        """What was recorded of a role: dictionaries of action, resource, context and count."""
        lines = urllib3.request("GET", f"{self.url}{CALLS_PATH}").data.decode().splitlines()
        return [call for call in map(json.loads, lines) if call.pop("role") == role_arn]


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInUnderTest]:
    home = tmp_path_factory.mktemp("stand_in") / "home"
    started = run_local_aws(home, "up")
    assert started.returncode == 0, started.stderr
    yield StandInUnderTest(home)
    stopped = run_local_aws(home, "down")
    assert stopped.returncode == 0, stopped.stderr


@pytest.fixture
def role_arn(stand_in: StandInUnderTest) -> Iterator[str]:
    iam = stand_in.client("iam")
    role = iam.create_role(RoleName="test-role", AssumeRolePolicyDocument="{}")["Role"]
    yield role["Arn"]
    iam.delete_role(RoleName="test-role")


@pytest.fixture(scope="session")
def offline() -> dict[str, str]:
    """Variables under which Terraform has no AWS in reach, nor the user's own variables."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_VAR_"))}
    if not Path(own.get("TF_CLI_CONFIG_FILE", "/")).exists():
        del own["TF_CLI_CONFIG_FILE"]
    return {**own, "TF_IN_AUTOMATION": "true"}


@contextmanager
def running_provider(data: Path, variables: dict[str, str], log: Path) -> Iterator[str]:
    """Start the provider of an initialised TF_DATA_DIR; yields what TF_REATTACH_PROVIDERS is to be.

    Each terraform starts its own else, two or three times, a second of CPU each. For one terraform at a time, and for
    the same account all along: each configures the provider for itself, under the variables given here.
    """
    (program,) = data.glob("providers/*/*/*/*/*/terraform-provider-aws*")
    with log.open("w") as output:
        provider = subprocess.Popen([program, "-debug"], env=variables, stdout=output, stderr=subprocess.STDOUT)
    address = re.compile("TF_REATTACH_PROVIDERS='(.*)'")
    try:
        wait_for(lambda: address.search(log.read_text()))
        (providers,) = address.findall(log.read_text())
        yield providers
    finally:
        provider.send_signal(signal.SIGINT)  # at which it removes its socket
        provider.wait(30)


@pytest.fixture(scope="session")
def attached(offline: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The same, with a provider that runs already, for the many runs of `terraform test`."""
    data = tmp_path_factory.mktemp("provider")
    init = ["ops/terraform_init.sh", "terraform/ec2_run", "-backend=false"]
    subprocess.run(init, cwd=REPOSITORY, env={**offline, "TF_DATA_DIR": str(data)}, check=True)
    with running_provider(data, offline, data / "log") as providers:
        yield {**offline, "TF_REATTACH_PROVIDERS": providers}


@pytest.fixture(scope="session")
def photographs() -> Path:
    """The folder of real photographs; they are never part of this repository."""
    folder = Path(os.environ.get("DOGS_DATA") or REPOSITORY.parent / "shared" / "data" / "dogs")
    if not (folder / "train").is_dir():
        pytest.skip(f"no real photographs at {folder}: name a folder of train/valid/test/<breed> in DOGS_DATA")
    return folder


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_breeds(folder)
    return folder

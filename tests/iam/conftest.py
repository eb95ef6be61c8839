"""The policies of all roots, rendered once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.iam.policies import Account, render


@pytest.fixture(scope="session")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Account]:
    """What each run of tests/iam/*.tftest.hcl plans, by its name."""
    folder = tmp_path_factory.mktemp("rendered")
    accounts: dict[str, Account] = {}
    with ThreadPoolExecutor() as pool:  # each waits for Terraform
        for runs in pool.map(lambda root: render(root, folder), ("main", "ec2_run", "bootstrap")):
            accounts |= runs
    for run in ("ec2_run", "bootstrap"):  # speak of what the main root makes
        accounts[run].on_resources |= accounts["defaults"].on_resources
    return accounts

"""The policies of all roots, rendered once."""

import pytest

from tests.iam.policies import Account, render


@pytest.fixture(scope="session")
def accounts(attached: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Account]:
    """What each run of tests/iam/*.tftest.hcl plans, by its name."""
    folder = tmp_path_factory.mktemp("rendered")
    accounts: dict[str, Account] = {}
    for root in ("main", "ec2_run", "bootstrap"):
        accounts |= render(root, folder, attached)
    for run in ("ec2_run", "bootstrap"):  # speak of what the main root makes
        accounts[run].on_resources |= accounts["defaults"].on_resources
    return accounts

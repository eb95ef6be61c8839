"""Each shim shown twice: with it the stand-in answers as AWS does, and without it plain moto does not.

The probes run in processes of their own, so that the shims never touch the moto of the test process.
"""

import os
import traceback
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import moto
import pytest

from local_aws import shims
from tests.local_aws import probes_of_services, probes_of_the_account  # noqa: F401 - each registers its probes
from tests.local_aws.probing import PROBES

pytestmark = pytest.mark.xdist_group("shims")  # all are probed at once


def try_probes(kind: str) -> dict[str, str | None]:
    """What went wrong in each probe, or None, on the moto of this process."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    if kind == "shimmed":
        shims.install()
        shims.install()  # twice is once
    failures: dict[str, str | None] = {}
    for name, try_it in PROBES.items():
        try:
            try_it()
            failures[name] = None
        except Exception:
            failures[name] = traceback.format_exc()
    return failures


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, str | None]]:
    """For "plain" and "shimmed": what went wrong in each probe, or None."""
    processes = {kind: ProcessPoolExecutor(1, get_context("fork")) for kind in ("plain", "shimmed")}
    results = {kind: process.submit(try_probes, kind) for kind, process in processes.items()}
    return {kind: result.result() for kind, result in results.items()}


@pytest.mark.parametrize("shim", sorted(PROBES))
def test_with_the_shim_the_answer_is_aws_s(shim: str, outcomes: dict[str, dict[str, str | None]]) -> None:
    assert outcomes["shimmed"][shim] is None, outcomes["shimmed"][shim]


@pytest.mark.parametrize("shim", sorted(PROBES))
def test_plain_moto_still_needs_the_shim(shim: str, outcomes: dict[str, dict[str, str | None]]) -> None:
    assert outcomes["plain"][shim], f"moto {moto.__version__} mended what {shim} mends: delete the shim and its probe"


def test_each_shim_has_its_probe() -> None:
    assert {shim.__name__ for shim in shims.ALL} == set(PROBES)

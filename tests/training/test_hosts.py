"""Two hosts do together what one does: the same figures, every image once, and one of them writes."""

import multiprocessing
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
import torch

from training.hosts import Hosts
from training.train import main

from .conftest import Trained, run_training

pytestmark = pytest.mark.xdist_group("forks")  # their server is test_restart.py's
RUNS = multiprocessing.get_context("forkserver")
RUNS.set_forkserver_preload(["training.train"])


def run(arguments: list[str], log: Path, rank: int, port: int) -> None:
    """A training as torchrun starts it."""
    with log.open("a") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    main(arguments)


Start = Callable[..., list[ForkServerProcess]]


@pytest.fixture
def start_two(drawn: Path, tmp_path: Path) -> Start:
    """start_two(arguments) -> the processes of two hosts that train together into tmp_path/<rank>/."""

    def start(arguments: list[str]) -> list[ForkServerProcess]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        processes = []
        for rank in range(2):
            folder = tmp_path / str(rank)
            places = ["--model-dir", str(folder / "model"), "--output-dir", str(folder / "output")]
            given = ["--data", str(drawn), "--run-id", "run-test", *places, *arguments]
            processes.append(RUNS.Process(target=run, args=(given, tmp_path / f"{rank}.log", rank, port)))
            processes[-1].start()
        return processes

    return start


def test_two_hosts_end_in_the_figures_of_one(
    drawn: Path, tmp_path: Path, tiny_backbone: list[str], start_two: Start
) -> None:
    arguments = [*tiny_backbone, "--epochs", "5", "--batch-size", "50", "--fine-tune-epochs", "1"]
    alone = run_training(drawn, tmp_path / "alone", *arguments).metrics
    processes = start_two(arguments)
    for process in processes:
        process.join(120)
    logs = [(tmp_path / f"{rank}.log").read_text() for rank in range(2)]
    assert [process.exitcode for process in processes] == [0, 0], logs
    together = Trained(tmp_path / "0" / "model", tmp_path / "0" / "output", logs[0]).metrics
    for one, two in zip(alone["history"], together["history"], strict=True):
        assert one == pytest.approx(two, abs=1e-5)
    # Disjoint shards, each image once, on both hosts the same set in the end.
    shards = [sorted(path.name for path in (tmp_path / str(rank)).rglob("features/*/*")) for rank in range(2)]
    assert shards == [["train-00000000", "valid-00000000"], ["train-00000144", "valid-00000048"]]
    images = [int(count) for log in logs for count in re.findall(r"train features: (\d+)/\1 images", log)]
    assert images == [144, 144]
    # One of them writes and says how it went.
    assert (tmp_path / "0" / "model" / "model.json").exists()
    assert not (tmp_path / "1" / "model").exists()
    assert not (tmp_path / "1" / "output").exists()
    assert "epoch=" in logs[0]
    assert "epoch=" not in logs[1]


@pytest.mark.full
@pytest.mark.parametrize("dies", [0, 1])
def test_a_host_that_dies_ends_the_other_with_a_sentence(
    tmp_path: Path, tiny_backbone: list[str], start_two: Start, dies: int
) -> None:
    processes = start_two([*tiny_backbone, "--epochs", "3", "--fine-tune-epochs", "500"])
    log = tmp_path / "0.log"
    while "phase=head" not in (log.read_text() if log.exists() else ""):
        assert all(process.is_alive() for process in processes), log.read_text()
        processes[0].join(0.05)
    processes[dies].kill()
    other = processes[1 - dies]
    other.join(60)
    assert (processes[dies].exitcode, other.exitcode) == (-signal.SIGKILL, 1)
    last = (tmp_path / f"{1 - dies}.log").read_text().splitlines()[-1]
    assert last.startswith("Another host of this run is gone; its own log says why")


def test_rows_are_shared_out_once_each() -> None:
    for count in (1, 2, 3):
        for rows in (torch.arange(0), torch.arange(1), torch.arange(10)):
            shares = [Hosts(rank, count).share(rows) for rank in range(count)]
            assert sorted(torch.cat(shares).tolist()) == rows.tolist()

"""A run that was killed, at whatever moment, ends in the identical model when it is started again."""

import hashlib
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from training import checkpoint, train

pytestmark = pytest.mark.xdist_group("forks")
# Its server imports the training once; each run is then a fork that starts at once and dies alone.
RUNS = multiprocessing.get_context("forkserver")
RUNS.set_forkserver_preload(["training.train"])

Start = Callable[..., ForkServerProcess]


def run(arguments: list[str], log: Path, dies_in_write: int) -> None:
    """A training, in a process of its own. `dies_in_write`: the write of a checkpoint that never ends; 0: none."""
    with log.open("a") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    flush = os.fsync
    writes = 0

    def die(descriptor: int) -> None:
        nonlocal writes
        writes += 1
        if writes == dies_in_write:
            if Path(f"/proc/self/fd/{descriptor}").is_file():
                os.truncate(descriptor, os.fstat(descriptor).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        flush(descriptor)

    checkpoint.os.fsync = die  # type: ignore[attr-defined]
    train.main(arguments)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("restart")


@pytest.fixture(scope="module")
def start(drawn: Path, tiny_backbone: list[str], place: Path) -> Start:
    """start(folder, dies_in_write) -> a running training into place/folder that saves after every step."""

    def begin(folder: str, dies_in_write: int = 0) -> ForkServerProcess:
        arguments = ["--data", str(drawn), "--run-id", "run-test", *tiny_backbone, "--checkpoint-seconds", "0"]
        arguments += ["--model-dir", str(place / folder / "model"), "--output-dir", str(place / folder / "output")]
        arguments += ["--epochs", "4", "--batch-size", "64", "--fine-tune-epochs", "1", "--learning-rate", "0.01"]
        process = RUNS.Process(target=run, args=(arguments, place / f"{folder}.log", dies_in_write))
        process.start()
        return process

    return begin


def end(process: ForkServerProcess, log: Path) -> None:
    process.join(120)
    assert process.exitcode == 0, log.read_text()


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()


def stage_of(log: Path) -> str:
    """The phase in which a run was when its log ended."""
    lines = log.read_text().splitlines() if log.exists() else []
    done = [line.split()[0] for line in lines if line.startswith("phase=")]
    return done[-1].replace("phase=", "after ") if done else "at the start"


@pytest.fixture(scope="module")
def untouched(start: Start, place: Path) -> tuple[str, float]:
    """The weights of a run that was left alone, and the seconds that it took."""
    began = time.monotonic()
    end(start("untouched"), place / "untouched.log")
    return weights(place / "untouched"), time.monotonic() - began


@pytest.mark.full
@pytest.mark.counts(full=40)
def test_a_run_that_is_killed_again_and_again_ends_in_the_identical_model(
    start: Start,
    place: Path,
    untouched: tuple[str, float],
    count: int,
    record_property: Callable[[str, object], None],
) -> None:
    """Half of the deaths come at a random time, half in the middle of writing a checkpoint, four to a run."""
    expected, seconds = untouched
    chance = random.Random(0)  # noqa: S311
    moments: Counter[str] = Counter()
    halves = deaths = number = 0
    while deaths < count:
        folder, before = f"run-{number}", deaths
        log = place / f"{folder}.log"
        while deaths < min(before + 4, count):
            in_write = deaths % 2
            process = start(folder, dies_in_write=chance.randint(1, 10) if in_write else 0)
            # Later runs are faster than the first: one that is over cannot be killed.
            process.join(120 if in_write else chance.uniform(0, 0.7 * seconds))
            process.kill()
            process.join()
            if process.exitcode == 0:  # there was not so much left to write
                break
            assert process.exitcode == -signal.SIGKILL, log.read_text()
            deaths += 1
            moments[stage_of(log)] += 1
            halves += bool(list((place / folder).rglob("*.part")))
        end(start(folder), log)
        assert weights(place / folder) == expected, log.read_text()
        number += 1
    assert halves > 0
    record_property("restart", f"{deaths} deaths, {halves} with a half-written checkpoint: {dict(moments)}")


def test_sigterm_saves_and_leaves_and_the_next_run_goes_on(
    start: Start, place: Path, untouched: tuple[str, float]
) -> None:
    process = start("stopped")
    log = place / "stopped.log"
    while "epoch=2" not in (log.read_text() if log.exists() else ""):
        assert process.is_alive(), log.read_text()
        time.sleep(0.005)
    process.terminate()
    process.join(60)
    assert process.exitcode == train.STOPPED_STATUS
    said = log.read_text()
    assert said.endswith("Stopped by SIGTERM. The same command goes on from the last checkpoint.\n")
    assert not (place / "stopped" / "model" / "model.json").exists()
    end(start("stopped"), log)
    assert "goes on from its checkpoint" in log.read_text().removeprefix(said)
    assert weights(place / "stopped") == untouched[0]

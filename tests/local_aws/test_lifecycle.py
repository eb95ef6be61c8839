"""Up, down, and nothing left behind, whatever happens between."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from local_aws.home import REPOSITORY, Home
from tests.conftest import StandInUnderTest, run_local_aws, wait_for


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    yield home
    home.kill_processes()


def server_of(home: Home) -> psutil.Process:
    return next(process for process in home.processes() if "local_aws.server" in process.cmdline())


def supervisor_of(home: Home) -> psutil.Process:
    return next(process for process in home.processes() if "local_aws.supervisor" in process.cmdline())


def test_a_second_up_leaves_the_first_as_it_is(home: Home) -> None:
    first = run_local_aws(home.path, "up")
    second = run_local_aws(home.path, "up")
    assert (first.returncode, second.returncode) == (0, 0)
    assert "already up" in second.stdout
    assert "PORT" not in second.stdout
    elsewhere = run_local_aws(home.path, "up", "--port", "1025")
    assert "and `make up PORT=1025`" in elsewhere.stdout
    assert len(home.processes()) == 2  # one supervisor, one server
    down = run_local_aws(home.path, "down")
    assert down.returncode == 0
    assert home.processes() == []
    assert not home.path.exists()


def test_two_ups_at_once_make_one_stand_in(home: Home) -> None:
    with ThreadPoolExecutor(2) as pool:
        ups = list(pool.map(lambda _: run_local_aws(home.path, "up"), range(2)))
    assert [up.returncode for up in ups] == [0, 0]
    assert sorted("already up" in up.stdout for up in ups) == [False, True]
    assert len(home.processes()) == 2


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    up = run_local_aws(tmp_path / "file" / "home", "up")
    assert up.returncode == 1
    assert up.stderr.startswith("The stand-in cannot keep its files in ")
    assert len(up.stderr.splitlines()) == 1


def test_down_works_when_nothing_is_up(home: Home) -> None:
    down = run_local_aws(home.path, "down")
    assert (down.returncode, down.stdout.strip()) == (0, "The stand-in was not up.")


def test_env_before_up_is_refused_in_one_sentence(home: Home) -> None:
    env = run_local_aws(home.path, "env")
    assert env.returncode == 1
    assert env.stderr.strip() == "The stand-in is not up: run `make up` first."
    evaluated = subprocess.run(["bash", "-c", f'eval "{env.stdout}" && echo reached'], capture_output=True, text=True)
    assert (evaluated.returncode, evaluated.stdout) == (1, "")  # a command behind it would meet the user's own account


def test_a_taken_port_is_named(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        up = run_local_aws(home.path, "up", "--port", str(port))
    assert up.returncode == 1
    assert up.stderr.strip() == f"Port {port} is taken: choose another, or leave PORT out to take any free one."
    assert home.processes() == []


@pytest.mark.parametrize("port", ["abc", "-1", "65536", ""])
def test_a_port_that_is_none_is_refused(home: Home, port: str) -> None:
    up = run_local_aws(home.path, "up", f"--port={port}")
    assert up.returncode == 1
    assert up.stderr.strip() == f"PORT is a number from 1 to 65535, not {port!r}."


def test_a_folder_of_somebody_else_is_never_emptied(home: Home) -> None:
    home.path.mkdir()
    (home.path / "thesis.txt").write_text("precious")
    up = run_local_aws(home.path, "up")
    assert up.returncode == 1
    assert "is not empty and no stand-in made it" in up.stderr
    run_local_aws(home.path, "down")
    assert (home.path / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("victim", [server_of, supervisor_of])
def test_a_crash_leaves_no_process_behind(home: Home, victim: Callable[[Home], psutil.Process]) -> None:
    assert run_local_aws(home.path, "up").returncode == 0
    victim(home).kill()
    wait_for(lambda: not home.processes())
    assert run_local_aws(home.path, "env").returncode == 1
    assert run_local_aws(home.path, "down").returncode == 0


def test_ctrl_c_while_starting_leaves_no_process_behind(home: Home) -> None:
    starting = subprocess.Popen(
        [sys.executable, "-m", "local_aws", "up"],
        cwd=REPOSITORY,
        env={**os.environ, "LOCAL_AWS_HOME": str(home.path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(home.processes)
    starting.send_signal(signal.SIGINT)
    _, said = starting.communicate(timeout=30)
    assert (starting.returncode, said) == (1, "Stopped.\n")
    assert home.processes() == []


def test_env_hides_the_users_own_account(stand_in: StandInUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://elsewhere.example")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    lines = run_local_aws(stand_in.home.path, "env").stdout.splitlines()
    seen = subprocess.run(
        ["bash", "-c", "\n".join([*lines, "env"])], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    variables = dict(line.split("=", 1) for line in seen if line.startswith("AWS_"))
    assert variables["AWS_ENDPOINT_URL"] == stand_in.url
    assert variables["AWS_CONFIG_FILE"] == variables["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert {"AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"}.isdisjoint(variables)

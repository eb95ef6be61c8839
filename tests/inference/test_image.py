"""The serving image where there is no Docker: its own steps make an environment, and its own command serves from it."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
import urllib3

from local_aws.home import REPOSITORY
from ops.image import context
from tests.conftest import wait_for

ROOM = REPOSITORY / "inference"


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """("RUN", "pip install …") and so on, comments left out and continued lines joined."""
    lines = "\n".join(line for line in dockerfile.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    return [(name, value.strip()) for name, value in (line.split(None, 1) for line in lines.splitlines() if line)]


@dataclass
class Environment:
    """What an image is, below a folder: a virtual environment as the base's Python, and what the steps make."""

    folder: Path
    context: Path
    base: str = ""
    directory: Path = Path()
    user: str = "0"
    ports: set[int] = field(default_factory=set)
    entrypoint: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, value: str) -> None:
        """Do what an instruction says; one that is not known here fails."""
        match name:
            case "FROM":
                self.base = value
                subprocess.run([python_of(value), "-m", "venv", self.folder / "python"], check=True)
            case "WORKDIR":
                self.directory = self.folder / value.lstrip("/")
                self.directory.mkdir(parents=True)
            case "COPY":
                *patterns, target = shlex.split(value)
                (self.directory / target).mkdir(parents=True, exist_ok=True)
                for path in [path for pattern in patterns for path in self.context.glob(pattern)]:
                    shutil.copy(path, self.directory / target)
            case "RUN":
                shell = ["/bin/sh", "-c", value]
                done = subprocess.run(
                    shell, cwd=self.directory, env=self.build_variables(), capture_output=True, text=True
                )
                assert done.returncode == 0, done.stdout + done.stderr
            case "ENV":
                self.variables |= dict(pair.split("=", 1) for pair in shlex.split(value))
            case "EXPOSE":
                self.ports.add(int(value))
            case "USER":
                self.user = value
            case "ENTRYPOINT":
                self.entrypoint = json.loads(value)
            case _:
                pytest.fail(f"The test cannot do {name}.")

    def run_variables(self) -> dict[str, str]:
        """What a process in the container would find: nothing of this machine's."""
        return {"PATH": f"{self.folder}/python/bin:/usr/bin:/bin", "HOME": "/nonexistent", **self.variables}

    def build_variables(self) -> dict[str, str]:
        """The same, with this machine's way to the package index."""
        index = re.compile(r"(PIP|UV|SSL|HTTPS?|NO)_\w+|https?_proxy|no_proxy|HOME")
        return self.run_variables() | {name: value for name, value in os.environ.items() if index.fullmatch(name)}

    def files(self) -> dict[str, int]:
        """Every file, and when it was written."""
        return {str(path): path.stat().st_mtime_ns for path in self.folder.rglob("*") if path.is_file()}


def python_of(base: str) -> str:
    """The base's Python where this machine has it, else the one that runs the tests: the lock file serves both."""
    version = re.search(r"/python:(\d+\.\d+)-slim", base)
    assert version, base
    name = f"python{version[1]}"
    works = shutil.which(name) and subprocess.run([name, "-c", ""], capture_output=True).returncode == 0
    return name if works else sys.executable


pytestmark = pytest.mark.xdist_group("image")  # it is made once


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    folder = tmp_path_factory.mktemp("image")
    zipfile.ZipFile(BytesIO(context(ROOM))).extractall(folder / "context")
    environment = Environment(folder / "root", folder / "context")
    first = (folder / "context" / "requirements.txt").read_text().split(" \\\n")[0]
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder / "asked", first],
        capture_output=True,
        text=True,
    )
    if asked.returncode != 0:
        pytest.skip(f"the package index cannot be reached: {asked.stderr.splitlines()[-1]}")
    for name, value in instructions((folder / "context" / "Dockerfile").read_text()):
        environment.take(name, value)
    yield environment
    shutil.rmtree(folder)  # 300 MB


@pytest.fixture
def served(image: Environment, model_dir: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The image's process as SageMaker starts it, and its address. Here it listens on this machine alone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [word.replace("--host 0.0.0.0", "--host 127.0.0.1") for word in image.entrypoint]
    assert command != image.entrypoint
    (tmp_path / "scratch").mkdir()
    process = subprocess.Popen(
        [*command, "serve"],
        cwd=image.directory,
        env={
            **image.run_variables(),
            "SAGEMAKER_BASE_DIR": str(model_dir.parent),
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "TMPDIR": str(tmp_path / "scratch"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def is_ready(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/ping", retries=False, timeout=5).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def test_it_serves_by_its_own_command_and_writes_nothing(
    image: Environment,
    served: tuple[subprocess.Popen[str], str],
    picture: Callable[..., bytes],
    model_dir: Path,
    tmp_path: Path,
) -> None:
    before = image.files()
    process, url = served
    wait_for(lambda: is_ready(url) or process.poll() is not None)
    jpeg = {"Content-Type": "image/jpeg"}
    answer = urllib3.request("POST", f"{url}/invocations", body=picture("red", "JPEG"), headers=jpeg, timeout=20)
    assert answer.status == 200
    assert answer.json()["predictions"][0]["top"][0]["label"] == "red"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM)  # uvicorn hands the signal on once it has drained
    assert errors == ""
    assert image.files() == before
    assert list((tmp_path / "scratch").iterdir()) == []


def test_there_is_no_torch_in_it_and_nothing_but_what_is_locked(image: Environment) -> None:
    done = subprocess.run(
        [image.folder / "python" / "bin" / "python", "-m", "pip", "freeze"],
        env=image.run_variables(),
        capture_output=True,
        text=True,
        check=True,
    )
    installed = {line.lower().replace("_", "-") for line in done.stdout.splitlines()}
    locked = set(re.findall(r"^[\w.-]+==[\w.]+", (ROOM / "requirements.txt").read_text(), flags=re.MULTILINE))
    assert {line.split("==")[0] for line in installed} >= {"openvino", "pillow", "starlette", "uvicorn"}
    assert installed <= locked
    assert not [line for line in installed if "torch" in line]


def test_it_starts_with_bytecode(image: Environment) -> None:
    for folder in (image.directory / "inference", *(image.folder / "python").glob("lib/python*/site-packages/uvicorn")):
        sources = {path.stem for path in folder.glob("*.py")}
        compiled = {path.name.split(".")[0] for path in folder.glob("__pycache__/*.pyc")}
        assert sources
        assert compiled == sources


def test_its_user_is_nobody_in_particular_and_may_read_everything(image: Environment) -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.user)
    assert image.ports == {8080}
    own = [path for path in image.directory.rglob("*") if path.is_file()]
    assert own
    assert [path for path in own if not path.stat().st_mode & 0o004] == []


def test_the_base_is_public_and_slim() -> None:
    (base,) = (value for name, value in instructions((ROOM / "Dockerfile").read_text()) if name == "FROM")
    assert re.fullmatch(r"public\.ecr\.aws/docker/library/python:3\.\d+-slim-\w+", base)


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), ROOM / "Dockerfile"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")

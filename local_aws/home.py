"""Where a stand-in keeps everything it has, and how its processes are found again."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

HOME_VARIABLE = "LOCAL_AWS_HOME"  # what users set, and what any process of theirs may therefore carry
# What only a stand-in's own processes carry: by it a leftover is found even when every record of it is gone.
OWNER_VARIABLE = "LOCAL_AWS_OWNER"
REPOSITORY = Path(__file__).resolve().parent.parent
_KILL_ROUNDS = 10
_BELONGS_TO_US = ".local_aws"  # only a folder with this file in it is ever deleted


class StandInError(Exception):
    """One sentence that names what is wrong and what to do."""


class Home:
    """The folder of one stand-in: records, logs, training jobs, unpacked models and functions."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.log = self.path / "stand_in.log"

    @classmethod
    def from_environment(cls) -> "Home":
        return cls(Path(os.environ.get(HOME_VARIABLE) or REPOSITORY / "build" / "local_aws"))

    def create(self) -> None:
        """Make the folder empty. Raises StandInError when it holds something that no stand-in made."""
        if self.path.exists() and any(self.path.iterdir()) and not (self.path / _BELONGS_TO_US).exists():
            raise StandInError(
                f"{self.path} is not empty and no stand-in made it: set {HOME_VARIABLE} to a folder of its own."
            )
        self.remove()
        self.path.mkdir(parents=True)
        (self.path / _BELONGS_TO_US).touch()

    def remove(self) -> None:
        if (self.path / _BELONGS_TO_US).exists():
            shutil.rmtree(self.path)

    def write_record(self, **record: Any) -> None:
        part = self.path / "record.json.part"
        part.write_text(json.dumps(record))
        part.replace(self.path / "record.json")

    def read_record(self) -> dict[str, Any] | None:
        """{"supervisor_pid", "url"} of the stand-in that runs here, or None when none does."""
        try:
            record: dict[str, Any] = json.loads((self.path / "record.json").read_text())
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
            return None
        return record if record["supervisor_pid"] in {process.pid for process in self.processes()} else None

    def processes(self) -> list[psutil.Process]:
        """Every live process that this stand-in started, the caller's own excepted."""
        found = []
        for process in psutil.process_iter():
            try:
                if (
                    process.pid != os.getpid()
                    and process.status() != psutil.STATUS_ZOMBIE
                    and process.environ().get(OWNER_VARIABLE) == str(self.path)
                ):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def kill_processes(self, spared_pid: int | None = None) -> None:
        """Kill them all, and those that they start meanwhile. Raises StandInError when one does not die."""
        for _ in range(_KILL_ROUNDS):
            if not (remaining := [process for process in self.processes() if process.pid != spared_pid]):
                return
            for process in remaining:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(remaining, timeout=5)
        raise StandInError(f"These processes cannot be killed: {', '.join(str(item.pid) for item in remaining)}.")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Let one `make up` or `make down` at a time work here; another waits."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # On the folder above, since this one comes and goes.
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

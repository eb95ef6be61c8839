"""Run a program and measure it from outside: what it prints and when, its CPU seconds, its memory."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

REPOSITORY = Path(__file__).parents[3]
MEMORY_POLL_SECONDS = 0.25
FIGURE = re.compile(r"(?<!\S)(\w+)=(-?\d+(?:\.\d+)?(?:e-?\d+)?)(?!\S)")

Record = dict[str, float]
"""The figures of a printed line, by name."""


class BenchmarkError(Exception):
    """There is nothing to compare. The message is one sentence."""


@dataclass(frozen=True)
class Run:
    """A program that ended well.

    `records` are its lines with figures; each also has `elapsed_seconds`, from the start of the process to the moment
    the line came. `peak_memory_mb` (10^6 bytes) is resident memory: see `tree_bytes`.
    """

    records: Sequence[Record]
    wall_seconds: float
    cpu_seconds: float
    peak_memory_mb: float


def run(arguments: Sequence[str], log: Path) -> Run:
    """Run Python with these arguments; what it prints also goes to `log`. Raises BenchmarkError when it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        # Else the lines wait in the child's buffer, and their times are those of the buffer.
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    memory = MemoryWatch(process.pid)
    memory.start()
    assert process.stdout is not None
    with log.open("w") as log_file, process.stdout as lines:
        records = stamp(lines, log_file, started)
    # Not process.wait(): only the kernel knows the CPU seconds of a process that has ended, and of its children.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall_seconds = time.perf_counter() - started
    memory.join()
    if process.returncode:
        last = (log.read_text().strip().splitlines() or ["it printed nothing"])[-1]
        raise BenchmarkError(
            f"python {' '.join(arguments)} ended with status {process.returncode} ({last}): see {log}."
        )
    return Run(records, wall_seconds, usage.ru_utime + usage.ru_stime, memory.peak_bytes / 1e6)


def stamp(lines: IO[str], log: IO[str], started: float) -> list[Record]:
    """Read lines as they come, copy them to `log`, and keep the figures with their moment."""
    records = []
    for line in lines:
        elapsed_seconds = time.perf_counter() - started
        log.write(line)
        if record := read_record(line):
            records.append({**record, "elapsed_seconds": elapsed_seconds})
    return records


def read_record(line: str) -> Record:
    """The figures in a line of `name=value name=value`; what is no number is left out."""
    return {name: int(value) if value.isdigit() else float(value) for name, value in FIGURE.findall(line)}


def print_record(record: Mapping[str, float]) -> None:
    """Print a line that `read_record` reads."""
    print(" ".join(f"{k}={v}" if isinstance(v, int) else f"{k}={v:.4f}" for k, v in record.items()), flush=True)


class MemoryWatch(threading.Thread):
    """Samples the resident memory of a process and its children until the process ends.

    Between two samples the kernel's high-water mark stands in, which knows the process but not its children. (Not
    ru_maxrss: that one also knows the memory of whoever started the process.)
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._process = psutil.Process(pid)

    def run(self) -> None:
        with suppress(psutil.NoSuchProcess):
            while self._process.status() != psutil.STATUS_ZOMBIE:
                self.peak_bytes = max(self.peak_bytes, tree_bytes(self._process), peak_bytes_alone(self._process))
                time.sleep(MEMORY_POLL_SECONDS)


def peak_bytes_alone(process: psutil.Process) -> int:
    """The most that the process had resident since its start; 0 once it has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def tree_bytes(process: psutil.Process) -> int:
    """Resident bytes of a process now, and those that its children have for themselves.

    A child that was just forked shares all its parent's pages; counted by its resident ones it would double the sum.
    """
    total = int(process.memory_info().rss)
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):  # it may end meanwhile
            total += child.memory_full_info().uss
    return total

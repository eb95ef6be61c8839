"""What the figures were measured on."""

import platform
from pathlib import Path

import psutil


def describe_machine() -> str:
    """A sentence: processor, CPUs, memory."""
    return f"{cpu_model()}, {psutil.cpu_count()} CPUs, {psutil.virtual_memory().total >> 30} GiB."


def cpu_model() -> str:
    """As Linux names it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())

"""Checkpoints: what a run that was killed goes on from.

A checkpoint is a file of its own below one folder: the SHA-256 of the rest, then tensors and facts as safetensors, so
nothing is unpickled. It is written beside its place, flushed to the disk and then renamed; the one before it stays as
`<name>.previous`. So whatever moment a process or a machine dies in, one whole checkpoint is there.
"""

import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from training.errors import Stopped, TrainingError

FACTS = "facts"
DIGEST_BYTES = hashlib.sha256().digest_size

Tensors = dict[str, Tensor]


class Checkpoints:
    """The checkpoints of one run. `key` names all that the run's result depends on: others are thrown away."""

    def __init__(self, directory: Path, key: str) -> None:
        self.directory = directory / key
        for other in directory.iterdir() if directory.is_dir() else ():
            if other.is_dir() and other.name != key:
                shutil.rmtree(other)
        self.directory.mkdir(parents=True, exist_ok=True)

    def save(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a checkpoint in place of an earlier one of that name.

        Raises:
            TrainingError: it cannot be written, because the disk is full for instance. The earlier one is still there.
        """
        text = torch.frombuffer(bytearray(json.dumps(facts).encode()), dtype=torch.uint8)
        content = save({**{key: tensor.contiguous() for key, tensor in tensors.items()}, FACTS: text})
        path, part = self.directory / name, self.directory / f"{name}.part"
        try:
            with part.open("wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                path.replace(self._previous(name))
            part.replace(path)
            self._flush_names()
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise TrainingError(
                f"A checkpoint cannot be saved in {self.directory} ({error.strerror}): mend that and start the same "
                "command again; it goes on from the checkpoint before."
            ) from None

    def load(self, name: str) -> tuple[Tensors, dict[str, Any]] | None:
        """The newest whole checkpoint of that name: its tensors and its facts. None when there is none."""
        for path in (self.directory / name, self._previous(name)):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                continue
            if hashlib.sha256(content[DIGEST_BYTES:]).digest() != content[:DIGEST_BYTES]:
                print(f"The checkpoint {path.name} is damaged: going on from the one before.", flush=True)
                continue
            tensors = load(content[DIGEST_BYTES:])
            return tensors, json.loads(bytes(tensors.pop(FACTS).numpy()))
        return None

    def _previous(self, name: str) -> Path:
        return self.directory / f"{name}.previous"

    def _flush_names(self) -> None:
        """Have the folder's new names on the disk, too."""
        folder = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimiser's tensors by `optimizer.<parameter's number>.<name>`."""
    states = optimizer.state_dict()["state"]
    return {f"optimizer.{number}.{name}": value for number, state in states.items() for name, value in state.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `flatten_optimizer` gave; learning rates are the schedule's."""
    states: dict[int, Tensors] = {}
    for key, value in tensors.items():
        kind, _, rest = key.partition(".")
        if kind == "optimizer":
            number, _, name = rest.partition(".")
            states.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": states})


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors under names that begin with `prefix`."""
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """Those tensors whose names begin with `prefix`, under the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


class StopSignal:
    """Whether SIGTERM came: a loop asks at a moment in which it can save and leave."""

    received = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.received = True

    def check(self) -> None:
        """Raise Stopped if the signal came."""
        if self.received:
            raise Stopped("Stopped by SIGTERM. The same command goes on from the last checkpoint.")


@contextmanager
def stop_signal() -> Iterator[StopSignal]:
    """Notice SIGTERM instead of dying by it; whoever is in the middle of something ends it first."""
    stop = StopSignal()
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


class Clock:
    """Wall seconds of each phase of a run. Between two phases a run can be stopped."""

    def __init__(self, stop: StopSignal) -> None:
        self.seconds: dict[str, float] = {}
        self._stop = stop

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase, and print it. Raises Stopped before it begins."""
        self._stop.check()
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 2)
        print(f"phase={name} seconds={self.seconds[name]}", flush=True)

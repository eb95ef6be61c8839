"""The folders that a run writes to: made, tried out and kept to itself before any work is done."""

import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from training.errors import TrainingError


@contextmanager
def reserve(folders: Iterable[Path]) -> Iterator[None]:
    """Make the folders and keep other runs out of them. The kernel frees them with the process, however it ends.

    Raises:
        TrainingError: another run has one of them, or nothing can be written there.
    """
    with ExitStack() as stack:
        for folder in {folder.resolve(): folder for folder in folders}.values():
            try:
                folder.mkdir(parents=True, exist_ok=True)
                # A run should not learn after hours of work that its results have no place.
                tempfile.TemporaryFile(dir=folder).close()
            except OSError as error:
                raise TrainingError(
                    f"Nothing can be written to {folder} ({error.strerror}): give another folder."
                ) from None
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TrainingError(
                    f"Another run is writing to {folder}: wait for its end, or give this one folders of its own "
                    "(--model-dir, --output-dir, --checkpoint-dir)."
                ) from None
        yield

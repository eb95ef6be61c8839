"""The images of one split as pixels: decoded as they are read, or once for all that comes after."""

import mmap
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.preprocess import ImageError, Preprocess
from training.data import Broken, DataError, Sample, check_size, threaded
from training.progress import bar

BATCH_SIZE = 16

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Pixels [n, size, size, 3], and the positions [n] of their files among the samples."""


class Images(Protocol):
    """A split's images, in the order of its samples and without those that cannot be decoded."""

    @property
    def samples(self) -> Sequence[Sample]:
        """Their files and labels, the broken ones included."""

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """The images of samples[start:stop]. Raises DataError when too many are broken."""


@dataclass(frozen=True)
class Files:
    """Images that are decoded on all CPUs as they are asked for, and forgotten with their batch.

    So memory does not grow with the data set. Files that cannot be decoded go to `broken`.
    """

    samples: Sequence[Sample]
    preprocess: Preprocess
    broken: Broken

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        images: list[NDArray[np.uint8]] = []
        positions: list[int] = []
        chosen = self.samples[start:stop]
        for position, result in enumerate(threaded(self._load, chosen), start):
            if isinstance(result, ImageError):
                self.broken.add(self.samples[position].path, str(result))
                continue
            images.append(result)
            positions.append(position)
            if len(images) == BATCH_SIZE:
                yield np.stack(images), np.array(positions)
                images, positions = [], []
        if images:
            yield np.stack(images), np.array(positions)

    def _load(self, sample: Sample) -> NDArray[np.uint8] | ImageError:
        content = sample.path.read_bytes()
        try:
            check_size(content)
            return self.preprocess(content)
        except ImageError as error:
            return error


class Pixels:
    """Images that were decoded once, into a memory-mapped file: pixels [n, size, size, 3] and their `positions` [n].

    What was read is given back to the system at once, so a pass over all of them takes no more memory than a batch.
    """

    def __init__(self, samples: Sequence[Sample], store: BinaryIO, positions: NDArray[np.int64], size: int) -> None:
        self.samples = samples
        self.positions = positions
        self.labels = np.array([samples[position].label for position in positions])
        self._map = mmap.mmap(store.fileno(), 0, prot=mmap.PROT_READ)
        self._values = np.frombuffer(self._map, np.uint8).reshape(len(positions), size, size, 3)

    def take(self, rows: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """A copy of some of the pixels."""
        taken = np.array(self._values[rows])
        self._map.madvise(mmap.MADV_DONTNEED)
        return taken

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        first, end = np.searchsorted(self.positions, (start, stop))
        for row in range(first, end, BATCH_SIZE):
            rows = slice(row, min(row + BATCH_SIZE, end))
            yield self.take(rows), self.positions[rows]


def decode_once(files: Files) -> Pixels:
    """Decode all of a split into a file without a name, which is gone with the process, however it ends.

    Raises:
        DataError: too many images are broken, or all.
    """
    positions: list[NDArray[np.int64]] = []
    with tempfile.TemporaryFile() as store, bar(len(files.samples), "decoding") as shown:
        for pixels, batch_positions in files.batches(0, len(files.samples)):
            store.write(pixels.tobytes())
            positions.append(batch_positions)
            shown.update(len(batch_positions))
        store.flush()
        if not positions:
            raise none_left(files.samples)
        return Pixels(files.samples, store, np.concatenate(positions), files.preprocess.spec.size)


def none_left(samples: Sequence[Sample]) -> DataError:
    """What to say when a split has no image that can be decoded."""
    return DataError(f"None of {len(samples)} images such as {samples[0].path} can be decoded: replace them.")

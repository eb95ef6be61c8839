"""Image folders: which files belong to which split and class, and what is refused.

A data set is a folder `train|valid|test/<class>/<file>`, or a flat one, `<class>/<file>`. Splits that are missing are
cut from `train` by a rule that depends on nothing but the files' contents: see `split_missing`.
"""

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from inference.engine import cpu_count
from inference.preprocess import ImageError, Preprocess
from training.errors import TrainingError
from training.progress import progress

SPLITS = ("train", "valid", "test")
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
SPLIT_SHARE = 0.1
MAX_BROKEN_SHARE = 0.1
BATCH_SIZE = 16
# Enough decoded images to keep the network busy, few enough to be no burden: 64 of 224 x 224 are 10 MB.
LOOK_AHEAD = 64

Item = TypeVar("Item")
Result = TypeVar("Result")

Listing = dict[str, dict[str, list[Path]]]
"""Split -> class -> files, in sorted order."""


class DataError(TrainingError):
    """The images cannot be trained on."""


@dataclass(frozen=True)
class Sample:
    """An image file and the index of its class."""

    path: Path
    label: int


@dataclass(frozen=True)
class Dataset:
    """The three splits, and the class names in the order of their indices."""

    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[Sample]]

    @property
    def image_count(self) -> int:
        """The number of files in all splits."""
        return sum(len(samples) for samples in self.splits.values())


@dataclass
class Broken:
    """The files, of `total`, that turned out not to be images, and why."""

    total: int
    files: dict[Path, str] = field(default_factory=dict)

    def add(self, path: Path, reason: str) -> None:
        """Count a file. Raises DataError once the share of broken files is more than an accident."""
        self.files[path] = reason
        if len(self.files) > MAX_BROKEN_SHARE * self.total:
            names = ", ".join(f"{file.parent.name}/{file.name}" for file in list(self.files)[:3])
            raise DataError(
                f"At least {len(self.files)} of {self.total} image files cannot be decoded, more than the "
                f"{MAX_BROKEN_SHARE:.0%} that are skipped ({names} …): check how the files were copied."
            )


def find_splits(folder: Path) -> dict[str, Path]:
    """Find the folders of the splits; a flat folder of classes is all `train`. Raises DataError."""
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}: give one of train/valid/test/<class>/<image>.")
    found = {split: folder / split for split in SPLITS if (folder / split).is_dir()}
    if found and "train" not in found:
        raise DataError(
            f"{folder} has {' and '.join(found)} but no train: put the training images into {folder}/train."
        )
    return found or {"train": folder}


def read_dataset(folders: Mapping[str, Path]) -> Dataset:
    """List the images of each split's folder, and make the splits that have none. Raises DataError."""
    return index(split_missing(scan(folders)))


def scan(folders: Mapping[str, Path]) -> Listing:
    """List the image files by split and class, undecoded. Raises DataError where that leaves nothing to train on."""
    listing: Listing = {}
    for split, folder in folders.items():
        classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        listing[split] = {path.name: sorted(filter(is_image, path.iterdir())) for path in classes}
    train = folders["train"]
    if not any(listing["train"].values()):
        raise DataError(f"{train} holds no images: put them into {train}/<class>/<name>.jpg (or .png, .webp).")
    if len(listing["train"]) < 2:
        raise DataError(
            f"{train} holds a single class, {next(iter(listing['train']))}: a classifier needs two or more."
        )
    for split, classes_of_split in listing.items():
        if empty := [name for name, files in classes_of_split.items() if not files]:
            raise DataError(f"The class {empty[0]} has no images in {split}: add some or remove its folder.")
        if unknown := sorted(classes_of_split.keys() - listing["train"].keys()):
            raise DataError(f"The class {unknown[0]} is in {split} but not in train, so it cannot be learnt.")
    return listing


def is_image(path: Path) -> bool:
    """Whether a file claims, by its name, to be an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def split_missing(listing: Listing) -> Listing:
    """Cut the splits that are missing from `train`.

    The rule: each class's files are ordered by the SHA-256 of their content; the first tenth (rounded up) is `valid`,
    the next tenth `test`, the rest `train`. Names, dates and the order of a folder make no difference.

    Raises:
        DataError: a class has too few images to give each split one.
    """
    missing = [split for split in ("valid", "test") if not any(listing.get(split, {}).values())]
    if not missing:
        return listing
    result: Listing = {**listing, "train": {}, **{split: {} for split in missing}}
    for name, files in listing["train"].items():
        ordered = sorted(files, key=lambda path: (hashlib.sha256(path.read_bytes()).digest(), path.name))
        share = math.ceil(SPLIT_SHARE * len(ordered))
        if len(ordered) <= share * len(missing):
            raise DataError(
                f"The class {name} has {len(ordered)} images, too few to make {' and '.join(missing)} from them: "
                f"it needs at least {len(missing) + 1}."
            )
        for position, split in enumerate(missing):
            result[split][name] = sorted(ordered[position * share : (position + 1) * share])
        result["train"][name] = sorted(ordered[len(missing) * share :])
    return result


def index(listing: Listing) -> Dataset:
    """Number the classes in the sorted order of their names."""
    classes = tuple(sorted(listing["train"]))
    labels = {name: label for label, name in enumerate(classes)}
    splits = {
        split: [Sample(path, labels[name]) for name, files in listing[split].items() for path in files]
        for split in SPLITS
    }
    return Dataset(classes, splits)


def read_batches(
    samples: Sequence[Sample], preprocess: Preprocess, broken: Broken, description: str
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Decode images on all CPUs and yield (pixels [n, size, size, 3], labels [n]) in the order of `samples`.

    Each file is read once and its pixels are dropped with the batch, so memory does not grow with the data set. Files
    that cannot be decoded go to `broken`. Raises DataError when they are too many.
    """

    def load(sample: Sample) -> NDArray[np.uint8] | ImageError:
        try:
            return preprocess(sample.path.read_bytes())
        except ImageError as error:
            return error

    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    results = progress(threaded(load, samples), len(samples), description)
    for sample, result in zip(samples, results, strict=True):
        if isinstance(result, ImageError):
            broken.add(sample.path, str(result))
            continue
        images.append(result)
        labels.append(sample.label)
        if len(images) == BATCH_SIZE:
            yield np.stack(images), np.array(labels)
            images, labels = [], []
    if images:
        yield np.stack(images), np.array(labels)


def threaded(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Like `map`, on all CPUs, but never more than LOOK_AHEAD results ahead of whoever takes them."""
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(cpu_count()) as pool:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= LOOK_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

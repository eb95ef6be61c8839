"""Image folders: which files belong to which split and class, and what is refused.

A data set is a folder `train|valid|test/<class>/<file>`, or a flat one, `<class>/<file>`. Splits that are missing are
cut from `train` by a rule that depends on nothing but the files' contents: see `split_missing`. An image counts once:
see `drop_copies`.
"""

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from inference.engine import cpu_count
from inference.preprocess import FORMATS, ImageError
from training.errors import TrainingError
from training.progress import progress

SPLITS = ("train", "valid", "test")
NOT_READ = "none"  # instead of a split's folder
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
SPLIT_SHARE = 0.1
MAX_BROKEN_SHARE = 0.1
MIN_SIDE_PIXELS = 16  # what is smaller shows no dog: the dots and icons that come with pages saved from the web
# Enough decoded images to keep the network busy, few enough to be no burden: 64 of 224 x 224 are 10 MB.
LOOK_AHEAD = 64

Item = TypeVar("Item")
Result = TypeVar("Result")

Listing = dict[str, dict[str, list[Path]]]
"""Split -> class -> files, in sorted order."""

Hashes = Mapping[Path, str]
"""File -> SHA-256 of its content."""


class DataError(TrainingError):
    """The images cannot be trained on."""


@dataclass(frozen=True)
class Sample:
    """An image file and the index of its class."""

    path: Path
    label: int


@dataclass(frozen=True)
class Copies:
    """The files that were left out since the same image is there already: copy -> the file that counts.

    `leaks` are copies from one split into another, `duplicates` those within one.
    """

    duplicates: Mapping[Path, Path]
    leaks: Mapping[Path, Path]


@dataclass(frozen=True)
class Dataset:
    """The three splits, and the class names in the order of their indices."""

    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[Sample]]
    hashes: Hashes
    copies: Copies
    splits_made_by_rule: Sequence[str]

    @cached_property
    def hash(self) -> str:
        """SHA-256 of what is trained and tested on: split, class, name and content of every file."""
        lines = (
            f"{split}/{self.classes[sample.label]}/{sample.path.name} {self.hashes[sample.path]}\n"
            for split, samples in self.splits.items()
            for sample in samples
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def findings(self, broken: "Broken") -> dict[str, Any]:
        """What there is to say about the data, for the report."""
        return {
            "hash": self.hash,
            "splits_made_by_rule": self.splits_made_by_rule,
            "broken": [{"file": name_of(path), "reason": reason} for path, reason in broken.files.items()],
            "duplicates": copies_for_report(self.copies.duplicates),
            "leaks": copies_for_report(self.copies.leaks),
        }

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


def find_dataset(folder: Path | None, folders: Mapping[str, str | None]) -> Dataset:
    """The data set of one folder, else of the folders of the splits. With "none" for its folder, `test` stays empty.

    Raises DataError.
    """
    wanted = [split for split in SPLITS if split != "test" or folders.get(split) != NOT_READ]
    if folder:
        return read_dataset({s: place for s, place in find_splits(folder).items() if s in wanted}, wanted)
    folders = {split: folders.get(split) for split in wanted}
    given = {split: Path(place) for split, place in folders.items() if place}
    if "train" not in given:
        raise DataError("There is no data: give --data FOLDER, or a channel named train.")
    for split, place in given.items():
        if not place.is_dir():
            raise DataError(f"There is no folder {place} for the split {split}.")
    return read_dataset(given, wanted)


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


def read_dataset(folders: Mapping[str, Path], wanted: Sequence[str] = SPLITS) -> Dataset:
    """List the images of each split's folder, each once, and make what is wanted and missing. Raises DataError."""
    listing = scan(folders)
    hashes = hash_files(files_of(listing))
    listing, copies = drop_copies(listing, hashes)
    made = missing_splits(listing, wanted)
    listing = split_missing(listing, hashes, wanted)
    classes = tuple(sorted(listing["train"]))
    labels = {name: label for label, name in enumerate(classes)}
    splits = {
        split: [Sample(path, labels[name]) for name, files in listing.get(split, {}).items() for path in files]
        for split in SPLITS
    }
    return Dataset(classes, splits, hashes, copies, made)


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


def name_of(path: Path) -> str:
    """A file as people find it again: split, class and name, without where all of it lies."""
    return "/".join(path.parts[-3:])


def copies_for_report(copies: Mapping[Path, Path]) -> list[dict[str, str]]:
    """Copies in the shape in which broken files are reported."""
    return [{"file": name_of(copy), "reason": f"the same image as {name_of(path)}"} for copy, path in copies.items()]


def check_every_class(labels: Tensor, classes: Sequence[str]) -> None:
    """Raise DataError when a class lost all its training images to broken files."""
    counts = torch.bincount(labels, minlength=len(classes))
    if int(counts.min()) == 0:
        name = classes[int(counts.argmin())]
        raise DataError(f"None of the training images of the class {name} can be decoded: replace them.")


def files_of(listing: Listing) -> list[Path]:
    """All files of a listing."""
    return [path for classes in listing.values() for paths in classes.values() for path in paths]


def hash_files(paths: Sequence[Path]) -> dict[Path, str]:
    """The SHA-256 of each file's content."""
    hashes = threaded(lambda path: hashlib.sha256(path.read_bytes()).hexdigest(), paths)
    return dict(zip(paths, progress(hashes, len(paths), "hashing"), strict=True))


def drop_copies(listing: Listing, hashes: Hashes) -> tuple[Listing, Copies]:
    """Leave out every file whose content was there before: in `test`, then `valid`, then `train`, in sorted order.

    So what the model is tested on is never trained on, and an image that lies in two classes is in the first of them.

    Raises:
        DataError: a class has nothing but copies in one split.
    """
    first: dict[str, tuple[str, Path]] = {}
    duplicates: dict[Path, Path] = {}
    leaks: dict[Path, Path] = {}
    left: Listing = {}
    for split in reversed(SPLITS):
        for name, paths in listing.get(split, {}).items():
            left.setdefault(split, {})[name] = kept = []
            for path in paths:
                owner, original = first.setdefault(hashes[path], (split, path))
                if original == path:
                    kept.append(path)
                else:
                    (duplicates if owner == split else leaks)[path] = original
            if not kept:
                raise DataError(
                    f"All images of the class {name} in {split} are copies of others, such as {original}: "
                    "give it images of its own."
                )
    return {split: left[split] for split in listing if split in left}, Copies(duplicates, leaks)


def missing_splits(listing: Listing, wanted: Sequence[str] = SPLITS) -> list[str]:
    """The splits that have to be cut from `train`."""
    return [split for split in wanted if split != "train" and not any(listing.get(split, {}).values())]


def split_missing(listing: Listing, hashes: Hashes, wanted: Sequence[str] = SPLITS) -> Listing:
    """Cut the wanted splits that are missing from `train`.

    The rule: each class's files are ordered by the SHA-256 of their content; the first tenth (rounded up) is `valid`,
    the next tenth `test`, the rest `train`. Names, dates and the order of a folder make no difference.

    Raises:
        DataError: a class has too few images to give each split one.
    """
    missing = missing_splits(listing, wanted)
    if not missing:
        return listing
    result: Listing = {**listing, "train": {}, **{split: {} for split in missing}}
    for name, files in listing["train"].items():
        ordered = sorted(files, key=hashes.__getitem__)
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


def check_size(content: bytes) -> None:
    """Raise ImageError when the image is too small to show anything; what cannot be opened is left to the decoder."""
    try:
        width, height = Image.open(BytesIO(content), formats=FORMATS).size
    except Exception:  # Pillow raises many kinds, and the decoder turns them into sentences
        return
    if min(width, height) < MIN_SIDE_PIXELS:
        raise ImageError(f"The image has only {width} x {height} pixels.")


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

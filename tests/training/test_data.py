"""Which folders can be trained on, how missing splits are made, and what each refusal says."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from training import data
from training.data import (
    Broken,
    DataError,
    find_dataset,
    find_splits,
    read_dataset,
    scan,
    threaded,
)

MakeDogs = Callable[[dict[str, int]], Path]
COMPLETE = {"train/a": 4, "train/b": 3, "valid/a": 1, "valid/b": 1, "test/a": 1, "test/b": 2}


def test_splits_classes_and_labels_come_from_the_folders(dogs: MakeDogs) -> None:
    folder = dogs(COMPLETE)
    (folder / "README.md").write_text("not a class")
    (folder / "train" / "a" / "notes.txt").write_text("not an image")
    (folder / "train" / ".cache").mkdir()
    dataset = read_dataset(find_splits(folder))
    assert dataset.classes == ("a", "b")
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 7, "valid": 2, "test": 3}
    assert all(sample.path.parent.name == dataset.classes[sample.label] for sample in dataset.splits["test"])
    assert dataset.image_count == 12


def test_a_flat_folder_is_split_by_content(dogs: MakeDogs, tmp_path: Path) -> None:
    folder = dogs({"a": 30, "b": 3})
    dataset = read_dataset(find_splits(folder))
    by_split = {
        split: {sample.path.read_bytes() for sample in samples if sample.label == 0}
        for split, samples in dataset.splits.items()
    }
    assert {split: len(samples) for split, samples in by_split.items()} == {"train": 24, "valid": 3, "test": 3}
    assert len(set.union(*by_split.values())) == 30
    assert {split: sum(s.label for s in samples) for split, samples in dataset.splits.items()} == {
        "train": 1,
        "valid": 1,
        "test": 1,
    }

    renamed = tmp_path / "renamed"
    shutil.copytree(folder, renamed)
    for number, path in enumerate(sorted((renamed / "a").iterdir(), reverse=True)):
        path.rename(path.with_name(f"other-{number:03}.png"))
    again = read_dataset(find_splits(renamed))
    assert by_split == {
        split: {sample.path.read_bytes() for sample in samples if sample.label == 0}
        for split, samples in again.splits.items()
    }


@pytest.mark.parametrize("missing", ["valid", "test"])
def test_only_the_missing_split_is_cut_from_train(dogs: MakeDogs, missing: str) -> None:
    kept = "test" if missing == "valid" else "valid"
    folder = dogs({"train/a": 20, "train/b": 20, f"{kept}/a": 5, f"{kept}/b": 5})
    dataset = read_dataset(find_splits(folder))
    counts = {split: len(samples) for split, samples in dataset.splits.items()}
    assert counts == {"train": 36, missing: 4, kept: 10}


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({"train/a": 0, "train/b": 0}, "holds no images"),
        ({"train/a": 5}, "holds a single class, a"),
        ({"a": 5}, "holds a single class, a"),
        ({"train/a": 5, "train/b": 0}, "The class b has no images in train"),
        ({**COMPLETE, "test/c": 1}, "The class c is in test but not in train"),
        ({**COMPLETE, "valid/b": 0}, "The class b has no images in valid"),
        ({"valid/a": 5, "test/a": 5}, "has valid and test but no train"),
        ({"train/a": 5, "train/b": 2}, "The class b has 2 images, too few to make valid and test"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_a_sentence(
    dogs: MakeDogs, counts: dict[str, int], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        read_dataset(find_splits(dogs(counts)))


def test_a_missing_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        find_splits(tmp_path / "absent")
    with pytest.raises(DataError, match="holds no images"):
        scan(find_splits(tmp_path))


def test_an_image_counts_once_where_it_is_tested_before_where_it_is_trained_on(dogs: MakeDogs) -> None:
    folder = dogs(COMPLETE)
    copies = {
        "train/a/twin.png": "train/a/000.png",
        "train/b/in_two_classes.png": "train/a/001.png",
        "train/a/seen_in_validation.png": "valid/a/000.png",
        "train/b/seen_in_test.png": "test/b/001.png",
        "valid/b/seen_in_test.png": "test/b/000.png",
    }
    for copy, original in copies.items():
        shutil.copyfile(folder / original, folder / copy)
    dataset = read_dataset(find_splits(folder))
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 7, "valid": 2, "test": 3}
    found = dataset.findings(Broken(12))
    reported = {kind: {entry["file"]: entry["reason"] for entry in found[kind]} for kind in ("duplicates", "leaks")}
    reasons = {copy: f"the same image as {original}" for copy, original in copies.items()}
    assert reported["leaks"] == {copy: reason for copy, reason in reasons.items() if "seen_in" in copy}
    assert reported["duplicates"] == {copy: reason for copy, reason in reasons.items() if "seen_in" not in copy}


def test_a_class_of_copies_is_refused(dogs: MakeDogs) -> None:
    folder = dogs(COMPLETE)
    shutil.copyfile(folder / "test" / "b" / "000.png", folder / "valid" / "b" / "000.png")
    with pytest.raises(DataError, match=r"of the class b in valid are copies of others, such as .*test/b/000"):
        read_dataset(find_splits(folder))


def test_the_hash_of_the_data_changes_with_what_is_learnt_from(dogs: MakeDogs, tmp_path: Path) -> None:
    folder = dogs(COMPLETE)
    before = read_dataset(find_splits(folder)).hash
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert read_dataset(find_splits(tmp_path / "elsewhere")).hash == before
    moved = folder / "train" / "a" / "003.png"
    moved.rename(folder / "train" / "b" / "003.png")
    assert read_dataset(find_splits(folder)).hash != before


def test_channels_are_as_good_as_one_folder(dogs: MakeDogs) -> None:
    folder = dogs(COMPLETE)
    channels = {split: str(folder / split) for split in ("train", "valid", "test")}
    assert find_dataset(None, channels).hash == find_dataset(folder, {}).hash


def test_the_same_broken_file_counts_once() -> None:
    broken = Broken(10)
    broken.add(Path("a/1.png"), "cut")
    broken.add(Path("a/1.png"), "cut")
    assert len(broken.files) == 1
    with pytest.raises(DataError):
        broken.add(Path("a/2.png"), "cut")


def test_threads_never_run_far_ahead_of_the_consumer() -> None:
    started: list[int] = []

    def double(number: int) -> int:
        started.append(number)
        return 2 * number

    results = threaded(double, range(1000))
    assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
    assert len(started) <= data.LOOK_AHEAD + 5

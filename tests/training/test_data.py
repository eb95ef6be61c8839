"""Which folders can be trained on, how missing splits are made, and what each refusal says."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inference.artifact import InputSpec
from inference.preprocess import Preprocess
from training import data
from training.data import Broken, DataError, Sample, find_splits, read_batches, read_dataset, scan, threaded

MakeDogs = Callable[[dict[str, int]], Path]
COMPLETE = {"train/a": 4, "train/b": 3, "valid/a": 1, "valid/b": 1, "test/a": 1, "test/b": 2}


def preprocess() -> Preprocess:
    return Preprocess(InputSpec(16, 16, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))


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


def test_batches_keep_order_and_leave_broken_files_out(dogs: MakeDogs) -> None:
    folder = dogs({"a": 40})
    samples = [Sample(path, number) for number, path in enumerate(sorted((folder / "a").iterdir()))]
    samples[3].path.write_text("a text file called .png")
    broken = Broken(len(samples))
    batches = list(read_batches(samples, preprocess(), broken, "test"))
    assert [len(labels) for _, labels in batches] == [16, 16, 7]
    assert np.concatenate([labels for _, labels in batches]).tolist() == [0, 1, 2, *range(4, 40)]
    expected = preprocess()(samples[17].path.read_bytes())
    assert (batches[1][0][0] == expected).all()
    assert list(broken.files) == [samples[3].path]


def test_too_many_broken_files_are_refused_with_number_and_names(dogs: MakeDogs) -> None:
    folder = dogs({"a": 20})
    samples = [Sample(path, 0) for path in sorted((folder / "a").iterdir())]
    for sample in samples[:4]:
        sample.path.write_bytes(b"\xff\xd8 broken")
    with pytest.raises(DataError, match=r"At least 3 of 20 .* \(a/000\.png, a/001\.png, a/002\.png …\)"):
        list(read_batches(samples, preprocess(), Broken(len(samples)), "test"))


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

"""The drawn data set: the same every time, and of the shape that training expects."""

import hashlib
import random
from pathlib import Path

from PIL import Image

from local_aws.drawn_breeds import BREEDS, IMAGE_SIZE, IMAGES_PER_BREED, draw_breeds, draw_dog
from training.data import find_splits, read_dataset


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.jpg")
    }


def test_the_same_seed_draws_the_same_files_however_many_there_are(drawn: Path, tmp_path: Path) -> None:
    draw_breeds(tmp_path, images_per_breed={"train": 2, "valid": 1})
    found = hashes(tmp_path)
    assert len(found) == len(BREEDS) * 3
    assert found.items() <= hashes(drawn).items()


def test_chance_alone_tells_two_pictures_of_a_breed_apart() -> None:
    pictures = {draw_dog(BREEDS[0], random.Random(seed)).tobytes() for seed in (0, 0, 1)}  # noqa: S311
    assert len(pictures) == 2


def test_every_picture_is_different_and_plainly_called_drawn(drawn: Path) -> None:
    found = hashes(drawn)
    assert len(set(found.values())) == len(found) == len(BREEDS) * sum(IMAGES_PER_BREED.values())
    assert all(name.split("/")[1].startswith("drawn_") for name in found)
    with Image.open(next(drawn.rglob("*.jpg"))) as picture:
        assert (picture.size, picture.mode, picture.format) == ((IMAGE_SIZE, IMAGE_SIZE), "RGB", "JPEG")


def test_it_is_a_data_set(drawn: Path) -> None:
    dataset = read_dataset(find_splits(drawn))
    assert dataset.classes == tuple(sorted(breed.name for breed in BREEDS))
    assert {split: len(samples) // len(BREEDS) for split, samples in dataset.splits.items()} == IMAGES_PER_BREED

"""Images arrive in order, without the broken ones, the same from files and from the memory map."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.artifact import InputSpec
from inference.preprocess import Preprocess
from training.data import Broken, DataError, Sample
from training.images import Files, decode_once

MakeDogs = Callable[[dict[str, int]], Path]
PREPROCESS = Preprocess(InputSpec(16, 16, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))


@pytest.fixture
def files(dogs: MakeDogs) -> Files:
    folder = dogs({"a": 40})
    samples = [Sample(path, number) for number, path in enumerate(sorted((folder / "a").iterdir()))]
    return Files(samples, PREPROCESS, Broken(len(samples)))


def test_batches_keep_order_and_leave_broken_files_out(files: Files) -> None:
    files.samples[3].path.write_text("a text file called .png")
    batches = list(files.batches(0, 40))
    assert [len(positions) for _, positions in batches] == [16, 16, 7]
    assert np.concatenate([positions for _, positions in batches]).tolist() == [0, 1, 2, *range(4, 40)]
    assert (batches[1][0][0] == PREPROCESS(files.samples[17].path.read_bytes())).all()
    assert list(files.broken.files) == [files.samples[3].path]


@pytest.mark.parametrize(("start", "stop"), [(0, 40), (0, 20), (3, 4), (20, 40), (39, 40)])
def test_the_memory_map_has_what_the_files_have(files: Files, start: int, stop: int) -> None:
    files.samples[3].path.write_text("a text file called .png")
    files.samples[30].path.write_text("another")
    pixels = decode_once(files)
    assert pixels.labels.tolist() == [n for n in range(40) if n not in (3, 30)]
    from_map, from_files = list(pixels.batches(start, stop)), list(files.batches(start, stop))
    assert len(from_map) == len(from_files)
    for (one, places), (other, other_places) in zip(from_map, from_files, strict=True):
        assert (one == other).all()
        assert places.tolist() == other_places.tolist()


def test_too_many_broken_files_are_refused_with_number_and_names(files: Files) -> None:
    half = replace(files, samples=files.samples[:20], broken=Broken(20))
    for sample in half.samples[:4]:
        sample.path.write_bytes(b"\xff\xd8 broken")
    with pytest.raises(DataError, match=r"At least 3 of 20 .* \(a/000\.png, a/001\.png, a/002\.png …\)"):
        list(half.batches(0, 20))


def test_a_split_without_one_image_is_refused(files: Files) -> None:
    files.samples[0].path.write_text("no image")
    with pytest.raises(DataError, match=r"None of 1 images such as .*a/000\.png can be decoded"):
        decode_once(replace(files, samples=files.samples[:1], broken=Broken(100)))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_too_small_or_too_large_is_left_out_and_named(files: Files) -> None:
    Image.new("RGB", (15, 400)).save(files.samples[0].path)
    Image.new("L", (10_000, 10_000)).save(files.samples[1].path)
    list(files.batches(0, 40))
    assert list(files.broken.files.values()) == [
        "The image has only 15 x 400 pixels.",
        "The image has 100 megapixels; at most 25 megapixels are accepted.",
    ]

"""The command behind `make data`: it checks, lays out, reports, and never loses what is there."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from training.data import DataError
from training.dataset import main, prepare, summary

MakeDogs = Callable[[dict[str, int]], Path]
ROOT = Path(__file__).parents[2]


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_layout_is_links_to_the_images_without_the_broken_ones(dogs: MakeDogs, tmp_path: Path) -> None:
    source = dogs({"train/a": 60, "train/b": 60})
    (source / "train" / "a" / "000.png").write_text("a text file called .png")
    target = tmp_path / "build" / "dogs"
    report = prepare(source, target)
    assert report["classes"] == 2
    assert report["images"] == {"train": 95, "valid": 12, "test": 12}
    assert report["splits_made_by_rule"] == ["valid", "test"]
    assert [entry["file"] for entry in report["skipped"]] == ["train/a/000.png"]
    assert json.loads((tmp_path / "build" / "dogs.json").read_text()) == report
    names = files(target)
    assert len(names) == 119
    assert "train/a/000.png" not in names
    assert all((target / name).is_symlink() for name in names)
    assert "2 classes: 95 train, 12 valid, 12 test images." in summary(report)
    assert "Skipped, since they cannot be decoded: 1 (train/a/000.png)." in summary(report)


def test_a_second_run_replaces_the_first(dogs: MakeDogs, tmp_path: Path) -> None:
    source, target = dogs({"train/a": 5, "train/b": 5}), tmp_path / "out"
    assert prepare(source, target) == prepare(source, target)
    (source / "train" / "a" / "004.png").unlink()
    report = prepare(source, target)
    assert len(files(target)) == sum(report["images"].values()) == 9
    assert {path.name for path in tmp_path.iterdir()} == {"dogs", "out", "out.json", ".checked.json"}


def test_a_content_is_decoded_once_ever(dogs: MakeDogs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = dogs({"train/a": 20, "train/b": 20}), tmp_path / "out"
    broken = source / "train" / "a" / "003.png"
    broken.write_text("no image")
    first = prepare(source, target)
    assert "checking: 40/40 images" in capsys.readouterr().out
    broken.rename(broken.with_name("renamed.png"))
    Image.new("RGB", (24, 24), "white").save(source / "train" / "b" / "new.png")
    second = prepare(source, target)
    assert "checking: 1/1 images" in capsys.readouterr().out
    assert [entry["reason"] for entry in second["skipped"]] == [entry["reason"] for entry in first["skipped"]]
    for spoil in ("not JSON", '{"decoder": "another", "problems": {}}', "[]"):
        (tmp_path / ".checked.json").write_text(spoil)
        assert prepare(source, target) == second
        assert "checking: 41/41 images" in capsys.readouterr().out
    prepare(source, target)
    assert "checking" not in capsys.readouterr().out  # nothing is left to check


def test_copies_are_left_out_and_told(dogs: MakeDogs, tmp_path: Path) -> None:
    source = dogs({"train/a": 20, "train/b": 20, "test/a": 3, "test/b": 3})
    shutil.copyfile(source / "test" / "a" / "000.png", source / "train" / "a" / "leak.png")
    shutil.copyfile(source / "train" / "b" / "000.png", source / "train" / "b" / "twin.png")
    report = prepare(source, tmp_path / "out")
    assert report["leaks"] == [{"file": "train/a/leak.png", "reason": "the same image as test/a/000.png"}]
    assert report["duplicates"] == [{"file": "train/b/twin.png", "reason": "the same image as train/b/000.png"}]
    assert "the same image is there already: 2, 1 of them in another split." in summary(report)
    assert not {"train/a/leak.png", "train/b/twin.png"} & files(tmp_path / "out")


def test_a_refused_source_leaves_the_earlier_layout(dogs: MakeDogs, tmp_path: Path) -> None:
    source, target = dogs({"train/a": 10, "train/b": 10}), tmp_path / "out"
    prepare(source, target)
    before = files(target)
    for path in list((source / "train" / "a").iterdir())[:4]:
        path.write_text("broken")
    with pytest.raises(DataError, match="more than the 10% that are skipped"):
        prepare(source, target)
    assert files(target) == before
    assert {path.name for path in tmp_path.iterdir()} == {"dogs", "out", "out.json", ".checked.json"}


def test_a_class_of_broken_images_is_refused(dogs: MakeDogs, tmp_path: Path) -> None:
    source = dogs({"train/a": 40, "train/b": 1})
    (source / "train" / "b" / "000.png").write_text("broken")
    with pytest.raises(DataError, match="None of the images of the class b"):
        prepare(source, tmp_path / "out")


def test_a_folder_that_it_did_not_make_is_not_replaced(dogs: MakeDogs, tmp_path: Path) -> None:
    source = dogs({"train/a": 5, "train/b": 5})
    holiday = tmp_path / "holiday"
    holiday.mkdir()
    (holiday / "dog.jpg").write_text("precious")
    for target, sentence in [
        (holiday, "was not made by this command"),
        (source, "lie in one another"),
        (source / "out", "lie in one another"),
        (tmp_path, "lie in one another"),
    ]:
        with pytest.raises(DataError, match=sentence):
            prepare(source, target)
    assert (holiday / "dog.jpg").read_text() == "precious"
    assert len(files(source)) == 10


def test_the_command_ends_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dogs: MakeDogs, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dataset", str(tmp_path / "absent"), str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert str(ended.value).startswith("There is no folder")
    monkeypatch.setattr(sys, "argv", ["dataset", str(dogs({"a": 5, "b": 5})), str(tmp_path / "out")])
    main()
    assert "2 classes" in capsys.readouterr().out


def test_a_progress_bar_in_a_log_is_lines(dogs: MakeDogs, tmp_path: Path) -> None:
    source = dogs({"a": 5, "b": 5})
    ran = subprocess.run(
        [sys.executable, "-m", "training.dataset", source, tmp_path / "out"], cwd=ROOT, capture_output=True, check=True
    )
    assert b"\r" not in ran.stdout + ran.stderr
    assert b"checking: 10/10 images" in ran.stdout

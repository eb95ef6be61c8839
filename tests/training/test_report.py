"""What a run writes for people: complete, whole or absent, and harmless whatever classes and files are called."""

import errno
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest

from ops.package import REPOSITORY, source_tar
from training import report
from training.network import Outputs
from training.report import TEMPLATES, interval, most_confused, render, worst_mistakes, write_report

from .conftest import Trained
from .reading import Page, read_card, read_markdown, read_page

HISTORY = [{"epoch": epoch, "train_loss": 2 / epoch, "valid_loss": 3 / epoch, "valid_top1": 0.5} for epoch in (1, 2)]
ABSURD_NAMES = (
    "<script>alert(1)</script>",
    "a|b",
    '"><img src=x onerror="alert(1)">',
    "[link](javascript:alert(1))",
    "![picture](x)",
    "$x^",
    "{{ 7 * 7 }}",
    "`code`",
    "*bold* __bold__ ~~gone~~",
    "Shih_Tzu_&amp;_Chin",
    "not \udcff UTF-8",
    "two\nlines | of a table",
    "back\\slash \\| bar",
)
WRITTEN = {"metrics.json", "curves.png", "confusion.png", "calibration.png", "report.html", "model-card.md"}


def facts(classes: int) -> dict[str, Any]:
    return {
        "run_id": "run-test",
        "digest": "d" * 64,
        "backbone": "tf_efficientnet_lite0",
        "classes": classes,
        "images": {"train": 30, "valid": 10, "test": 10},
        "valid_top1": 0.5,
        "test_top1": 0.4,
        "test_top5": 0.9,
        "test_ece": 0.1,
        "test_ece_uncalibrated": 0.2,
        "temperature": 0.5,
        "precision": {
            "chosen": "fp32",
            "why": "there is no other",
            "validation_top1": {"fp32": 0.5},
            "milliseconds": {"fp32": 2.0},
        },
        "arguments": {"epochs": 2, "image_size": None},
        "seconds": {"prepare": 1.0},
        "data": {"hash": "e" * 64, "broken": [], "duplicates": [], "leaks": [], "splits_made_by_rule": []},
        "stages": {"head": {"valid_loss": 1.5, "valid_top1": 0.5}},
        "kept": "head",
        "code_sha256": "f" * 64,
        "backbone_sha256": "b" * 64,
        "versions": {"torch": "2.14.1"},
    }


@pytest.fixture
def split(tmp_path: Path) -> Callable[..., report.Tested]:
    """split(labels, answers, confidences) -> a test split of photographs, each in the folder of its class."""

    def make(
        labels: list[int], answers: list[int], confidences: list[float], classes: tuple[str, ...]
    ) -> report.Tested:
        logits = torch.zeros(len(labels), len(classes), dtype=torch.float64)
        for row, (answer, confidence) in enumerate(zip(answers, confidences, strict=True)):
            # softmax gives `confidence` to the answer when every other class has a logit of 0.
            logits[row, answer] = np.log(confidence * (len(classes) - 1) / (1 - confidence))
        paths = []
        for row, label in enumerate(labels):
            path = tmp_path / "photographs" / str(label) / f"{row:03}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (320, 240), (row % 256, 0, 0)).save(path, comment="from a camera")
            paths.append(path)
        return report.Tested(Outputs(logits, torch.tensor(labels), torch.arange(len(labels))), 1.0, classes, paths)

    return make


def test_a_run_leaves_a_complete_report(trained: Trained) -> None:
    metrics = trained.metrics
    assert {path.name for path in trained.output_dir.iterdir()} >= WRITTEN
    assert metrics["images"] == {"train": 288, "valid": 72, "test": 72}
    assert metrics["classes"] == 12
    assert [metrics["data"][kind] for kind in ("broken", "duplicates", "leaks")] == [[], [], []]
    assert metrics["arguments"]["epochs"] == len(metrics["history"]) == 30
    assert sum(figures["images"] for figures in metrics["per_class"]) == 72
    right = sum(figures["images"] * figures["recall"] for figures in metrics["per_class"])
    assert right / 72 == pytest.approx(metrics["test_top1"], abs=1e-6)
    error = sum(
        part["images"] / 72 * abs(part["confidence"] - part["accuracy"])
        for part in metrics["calibration"]
        if part["images"]
    )
    assert error == pytest.approx(metrics["test_ece"], abs=1e-6)
    for name in ("curves.png", "confusion.png", "calibration.png"):
        with Image.open(trained.output_dir / name) as plot:
            assert min(plot.size) > 400


def test_the_page_needs_nothing_but_itself(trained: Trained) -> None:
    text = (trained.output_dir / "report.html").read_text()
    page = Page(text)
    assert "://" not in text
    assert "url(" not in text
    assert not page.elements & {"script", "link", "iframe", "object", "form", "a"}
    addresses = [value for name, value in page.attributes if name in ("src", "href", "srcset", "action")]
    assert len(addresses) >= 3
    assert all(address.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")) for address in addresses)
    assert ("content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in page.attributes


def test_page_and_card_say_what_metrics_say(trained: Trained) -> None:
    metrics, page = trained.metrics, read_page(trained.output_dir)
    card = read_card(trained.output_dir)
    for figure in ("test_top1", "test_top5", "test_ece", "test_ece_uncalibrated"):
        assert f"{metrics[figure]:.1%}" in page.text
        assert f"{metrics[figure]:.1%}" in card.text
    for text in (page.text, card.text):
        assert metrics["digest"] in text
        assert "--label-smoothing" in text
    shown = {row[0]: row[1:3] for row in page.rows_below("Class")}
    assert shown == {
        figures["class"]: [
            "unknown" if figures[name] is None else f"{figures[name]:.1%}" for name in ("recall", "precision")
        ]
        for figures in metrics["per_class"]
    }
    recalls = [float(row[1].rstrip("%")) for row in page.rows_below("Class")]
    assert recalls == sorted(recalls)


def test_names_do_no_harm(split: Callable[..., report.Tested], tmp_path: Path) -> None:
    classes = len(ABSURD_NAMES)
    labels = [*range(classes), 0]
    tested = split(labels, [(label + 1) % classes for label in labels], [0.9] * len(labels), ABSURD_NAMES)
    renamed = [path.rename(path.with_name("<b>|`.jpg")) for path in tested.paths[:1]]
    tested = replace(tested, paths=[*renamed, *tested.paths[1:]])
    listed = [{"file": name, "reason": name} for name in ABSURD_NAMES]
    found = facts(classes)
    found["data"] |= {"broken": listed, "duplicates": listed, "leaks": listed}
    write_report(tmp_path, found, {"head": HISTORY}, tested)

    def on_paper(name: str) -> str:
        return name.encode("utf-8", "backslashreplace").decode()

    page = read_page(tmp_path)
    assert not page.elements & {"script", "a"}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert all(value.startswith("data:image/") for name, value in page.attributes if name == "src")
    assert {row[0] for row in page.rows_below("Class")} == {on_paper(name) for name in ABSURD_NAMES}
    assert "<b>|`.jpg" in page.text

    card = read_card(tmp_path)
    structure = {"h1", "h2", "h3", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
    assert card.elements <= structure
    shown = card.rows_below("class")
    assert len(shown) == 10
    assert {row[0] for row in shown} <= {on_paper(name).replace("\n", " ") for name in ABSURD_NAMES}
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert [figures["class"] for figures in metrics["per_class"]] == list(ABSURD_NAMES)


@pytest.mark.parametrize("name", ABSURD_NAMES)
def test_a_name_is_one_cell_of_the_card(name: str) -> None:
    values = {**facts(2), "arguments": {"epochs": name}}
    row = {"class": name, "images": 1, "recall": None, "precision": None}
    text = render(
        "model-card.md", metrics=values, test_loss=1.0, test_images=10, top1_interval=(0, 1), worst_first=[row]
    )
    page = read_markdown(text)
    assert page.rows_below("class") == [[name.replace("\n", " "), "1", "unknown", "unknown"]]
    assert page.rows_below("argument")[0] == ["--epochs", name.replace("\n", " ")]


def test_the_surest_mistakes_come_first_without_files_that_cannot_be_read(split: Callable[..., report.Tested]) -> None:
    tested = split([0, 0, 1, 1, 2, 2], [0, 1, 2, 0, 0, 1], [0.99, 0.6, 0.95, 0.7, 0.8, 0.9], ("a", "b", "c"))
    tested.paths[2].unlink()
    tested.paths[5].write_text("a text file called .jpg")
    found = list(worst_mistakes(tested))
    assert [(each.file, each.true_class, each.answer) for each in found] == [
        ("004.jpg", "c", "a"),
        ("003.jpg", "b", "a"),
        ("001.jpg", "a", "b"),
    ]
    assert [each.probability for each in found] == pytest.approx([0.8, 0.7, 0.6])
    for mistake in found:
        assert b"from a camera" not in mistake.thumbnail
        with Image.open(io.BytesIO(mistake.thumbnail)) as image:
            assert (image.format, image.size) == ("JPEG", (192, 144))


def test_a_model_without_mistakes_and_a_split_without_files_still_have_a_report(
    split: Callable[..., report.Tested], tmp_path: Path
) -> None:
    tested = split([0, 1], [0, 1], [0.9, 0.9], ("a", "b"))
    write_report(tmp_path, facts(2), {"head": HISTORY}, tested)
    assert "every test image was recognised" in read_page(tmp_path).text
    wrong = split([0, 1], [1, 0], [0.9, 0.9], ("a", "b"))
    for path in wrong.paths:
        path.unlink()
    write_report(tmp_path, facts(2), {"head": HISTORY}, wrong)
    assert "None that can be shown" in read_page(tmp_path).text


def test_many_classes_and_large_photographs_make_no_large_page(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    photograph = tmp_path / "noise.jpg"
    Image.fromarray(random.integers(0, 256, (900, 1200, 3), dtype=np.uint8)).save(photograph, quality=95)
    logits = torch.from_numpy(random.normal(0, 3, (708, 118)))
    tested = report.Tested(
        Outputs(logits, torch.arange(708) % 118, torch.arange(708)),
        1.0,
        [f"{number:03}.A_breed_with_a_long_name" for number in range(118)],
        [photograph] * 708,
    )
    files = [{"file": f"train/a_class/{number}.jpg", "reason": "the same image as another"} for number in range(5000)]
    found = facts(118)
    found["data"]["leaks"] = files
    write_report(tmp_path, found, {"head": HISTORY}, tested)
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/jpeg") == 24
    assert len(page) < 3_000_000
    assert len(json.loads((tmp_path / "metrics.json").read_text())["data"]["leaks"]) == 5000


def test_both_stages_are_shown_and_which_was_kept(split: Callable[..., report.Tested], tmp_path: Path) -> None:
    stages = {"head": {"valid_loss": 1.25, "valid_top1": 0.5}, "fine_tuning": {"valid_loss": 0.75, "valid_top1": 0.625}}
    tested = split([0, 1], [0, 0], [0.9, 0.8], ("a", "b"))
    later = [{**record, "valid_top1": 0.625} for record in HISTORY]
    write_report(
        tmp_path,
        {**facts(2), "stages": stages, "kept": "fine_tuning"},
        {"head": HISTORY, "fine_tuning": later},
        tested,
    )
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["history"], metrics["fine_tuning_history"]) == (HISTORY, later)
    page = read_page(tmp_path)
    assert page.rows_below("Stage") == [
        ["Linear head on frozen features", "1.2500", "50.0%", ""],
        ["Fine-tuning", "0.7500", "62.5%", "kept"],
    ]
    assert read_card(tmp_path).rows_below("stage") == [
        ["linear head", "1.2500", "50.0%"],
        ["fine-tuning", "0.7500", "62.5%"],
    ]


def test_what_was_left_out_is_listed_with_the_reason(split: Callable[..., report.Tested], tmp_path: Path) -> None:
    data = {
        "hash": "e" * 64,
        "broken": [{"file": "train/a/1.jpg", "reason": "cut short"}],
        "duplicates": [{"file": "train/a/2.jpg", "reason": "the same as train/a/3.jpg"}],
        "leaks": [{"file": "test/a/4.jpg", "reason": "the same as train/a/5.jpg"}],
        "splits_made_by_rule": ["valid"],
    }
    tested = split([0, 1], [0, 1], [0.9, 0.9], ("a", "b"))
    write_report(tmp_path, {**facts(2), "data": data}, {"head": HISTORY}, tested)
    page = read_page(tmp_path)
    assert [table[1:] for table in page.tables if table[0] == ["File", "Why"]] == [
        [["train/a/1.jpg", "cut short"]],
        [["train/a/2.jpg", "the same as train/a/3.jpg"]],
        [["test/a/4.jpg", "the same as train/a/5.jpg"]],
    ]
    assert "Cut from train by the hash of their content: valid." in page.text
    card = read_card(tmp_path).text
    for said in ("e" * 64, "f" * 64, "Copies in another split, left out: 1", "2.14.1"):
        assert said in card


def test_a_full_disk_leaves_the_earlier_report_whole(
    split: Callable[..., report.Tested], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, tested = tmp_path / "output", split([0, 1], [0, 1], [0.9, 0.9], ("a", "b"))
    write_report(output, facts(2), {"head": HISTORY}, tested)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    assert before.keys() == WRITTEN

    def half(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space left"):
        write_report(output, {**facts(2), "run_id": "run-other"}, {"head": HISTORY}, tested)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


def test_the_pairs_most_often_mistaken_come_first() -> None:
    confusion = torch.tensor([[9, 1, 0], [3, 5, 2], [0, 0, 7]])
    assert most_confused(("a", "b", "c"), confusion) == [
        {"class": "b", "taken_for": "a", "images": 3},
        {"class": "b", "taken_for": "c", "images": 2},
        {"class": "a", "taken_for": "b", "images": 1},
    ]
    assert int(confusion.trace()) == 21  # and the counts are what they were


@pytest.mark.parametrize(("right", "images"), [(0, 10), (10, 10), (557, 708), (1, 1), (3, 7)])
def test_the_interval_is_wilsons(right: int, images: int) -> None:
    expected = binomtest(right, images).proportion_ci(confidence_level=0.95, method="wilson")
    assert interval(right / images, images) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_the_templates_travel_with_the_source() -> None:
    with tarfile.open(fileobj=io.BytesIO(source_tar(REPOSITORY))) as tar:
        names = set(tar.getnames())
    assert {"training/templates/report.html", "training/templates/model-card.md"} <= names
    assert {f"training/templates/{path.name}" for path in TEMPLATES.iterdir()} <= names

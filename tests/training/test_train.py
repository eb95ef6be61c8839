"""A whole run, and the ways in which one ends early."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from inference.artifact import read_artifact
from inference.inference import input_fn, model_fn, predict_fn
from inference.preprocess import Preprocess
from training.arguments import parse_arguments
from training.backbone import load_backbone
from training.data import Broken, find_splits, read_dataset
from training.evaluation import evaluate
from training.images import Files
from training.network import Network, run_over
from training.train import main

from .conftest import Trained, run_training

ROOT = Path(__file__).parents[2]


def test_the_drawn_breeds_are_learnt(trained: Trained) -> None:
    assert trained.metrics["test_top1"] > 0.85
    assert trained.metrics["test_top5"] > 0.95
    assert trained.metrics["test_ece"] < trained.metrics["test_ece_uncalibrated"]


@pytest.mark.parametrize("name", ["train_loss", "valid_loss", "valid_top1", "test_top1", "test_top5"])
def test_metrics_are_printed_as_the_launcher_reads_them(trained: Trained, name: str) -> None:
    values = [float(value) for value in re.findall(rf"{name}=([0-9.]+)", trained.log)]
    by_epoch = [record[name] for record in trained.metrics["history"] if name in record]
    at_the_end = [trained.metrics[name]] if name in trained.metrics else []  # SageMaker keeps what comes last
    assert values == [round(value, 4) for value in by_epoch + at_the_end]
    for line in trained.log.splitlines():
        assert not line.startswith("epoch=") or re.fullmatch(
            r"epoch=\d+ train_loss=\S+ valid_loss=\S+ valid_top1=\S+", line
        )


def test_without_a_test_split_the_last_line_is_the_calibrated_loss_on_validation(
    drawn: Path, tmp_path: Path, tiny_backbone: list[str]
) -> None:
    data = tmp_path / "data"
    for split in ("train", "valid"):
        (data / split).parent.mkdir(exist_ok=True)
        (data / split).symlink_to(drawn / split)
    (data / "test" / "unknown_to_train").mkdir(parents=True)  # were it read, it would be refused
    done = run_training(data, tmp_path / "without", *tiny_backbone, "--epochs", "2", "--test", "none")
    match = re.fullmatch(r"valid_loss=(\d\.\d{4}) valid_top1=\d\.\d{4}", done.log.splitlines()[-1])
    assert match
    model = model_fn(done.model_dir)
    valid = read_dataset({split: data / split for split in ("train", "valid")}, ("train", "valid")).splits["valid"]
    (logits,) = run_over(Files(valid, model.preprocess, Broken(len(valid))), [model.engine], "valid, exported")
    assert float(match[1]) == pytest.approx(evaluate(logits, model.manifest.temperature).loss, abs=1e-2)


def test_the_artifact_answers_and_says_what_it_is(trained: Trained, drawn: Path) -> None:
    model = model_fn(trained.model_dir)
    manifest = model.manifest
    assert (manifest.run_id, manifest.backbone) == ("run-test", "tf_efficientnet_lite0")
    assert len(manifest.classes) == 12
    assert manifest.metrics["test_top1"] == trained.metrics["test_top1"]
    assert manifest.precision.validation_top1.keys() >= {"fp32", manifest.precision.chosen}
    digest = hashlib.sha256((trained.model_dir / "model.json").read_bytes()).hexdigest()
    assert digest == trained.metrics["digest"]
    photo = drawn / "test" / "drawn_moss_badger" / "000.jpg"
    found = predict_fn(input_fn(photo.read_bytes(), "image/jpeg"), model)
    assert found["predictions"][0]["top"][0]["label"] == "drawn_moss_badger"


def test_the_reported_accuracy_is_what_the_handlers_answer(trained: Trained, drawn: Path) -> None:
    model = model_fn(trained.model_dir)
    photos = sorted((drawn / "test").glob("*/*.jpg"))
    right = [
        predict_fn(input_fn(photo.read_bytes(), "image/jpeg"), model)["predictions"][0]["top"][0]["label"]
        == photo.parent.name
        for photo in photos
    ]
    assert sum(right) / len(right) == pytest.approx(trained.metrics["test_top1"], abs=1.5 / len(right))


def test_weights_graph_and_serving_agree(trained: Trained, drawn: Path) -> None:
    model = model_fn(trained.model_dir)
    spec = model.manifest.input
    backbone = load_backbone("tf_efficientnet_lite0", None, None)
    network = Network(backbone.module, torch.nn.Linear(1280, 12), spec).eval()
    network.load_state_dict(load_file(trained.model_dir / "model.safetensors"))
    photos = sorted((drawn / "test").glob("*/000.jpg"))
    pixels = np.stack([model.preprocess(photo.read_bytes()) for photo in photos])
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels)).numpy()
    scale = np.abs(expected).max()
    # On average: of a few images and int8 the worst score says little.
    tolerance = {"fp32": 1e-4, "bf16": 0.03, "int8": 0.12}[model.engine.precision]
    assert np.abs(model.engine(pixels) - expected).mean() < tolerance * scale


def test_training_and_serving_see_the_same_pixels(trained: Trained, drawn: Path) -> None:
    model = model_fn(trained.model_dir)
    samples = read_dataset(find_splits(drawn)).splits["test"][:20]
    training = Preprocess(load_backbone("tf_efficientnet_lite0", None, None).input)
    batches = Files(samples, training, Broken(20)).batches(0, 20)
    in_training = np.concatenate([images for images, _ in batches])
    in_serving = np.stack([model.preprocess(sample.path.read_bytes()) for sample in samples])
    assert (in_training == in_serving).all()


def test_the_handlers_of_the_artifact_work_without_the_repository(trained: Trained, drawn: Path) -> None:
    photo = drawn / "test" / "drawn_ember_fox" / "000.jpg"
    program = (
        "import sys, inference;"
        "model = inference.model_fn(sys.argv[1]);"
        "photo = open(sys.argv[2], 'rb').read();"
        "print(inference.__file__, inference.transform_fn(model, photo, 'image/jpeg', 'text/csv', None)[0])"
    )
    code = trained.model_dir / "code"
    ran = subprocess.run(
        [sys.executable, "-c", program, trained.model_dir, photo],
        cwd=code,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(code)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.startswith(f"{code}/inference/__init__.py drawn_ember_fox,")
    assert (code / "requirements.txt").read_text().count("==") == 3


@pytest.mark.full
def test_the_same_command_again_gives_the_same_weights(drawn: Path, tmp_path: Path, tiny_backbone: list[str]) -> None:
    """Into the same folder, as someone does who simply runs it again; test_restart.py has it for two folders."""

    def weights_hash() -> str:
        run = run_training(drawn, tmp_path, *tiny_backbone, "--epochs", "3")
        return hashlib.sha256((run.model_dir / "model.safetensors").read_bytes()).hexdigest()

    assert weights_hash() == weights_hash()


def test_sagemaker_names_take_the_place_of_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {
        "SM_CHANNEL_TRAIN": "/in/train",
        "SM_CHANNEL_VALID": "/in/valid",
        "SM_CHANNEL_TEST": "/in/test",
        "SM_CHANNEL_WEIGHTS": "/in/weights",
        "SM_MODEL_DIR": "/model",
        "SM_OUTPUT_DATA_DIR": "/out",
        "SM_TRAINING_ENV": json.dumps({"job_name": "run-20261122-151700"}),
    }
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    found = parse_arguments(["--epochs", "7", "--learning-rate", "1e-3"])
    assert (found.train, found.valid, found.test, found.weights) == (
        "/in/train",
        "/in/valid",
        "/in/test",
        "/in/weights",
    )
    assert (found.model_dir, found.output_dir, found.run_id) == (Path("/model"), Path("/out"), "run-20261122-151700")
    assert (found.epochs, found.learning_rate) == (7, 1e-3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "There is no data"),
        (["--data", "absent"], "There is no folder absent"),
        (["--train", "absent"], "There is no folder absent for the split train"),
        (["--epochs", "0"], "0 is not above zero"),
        (["--epochs", "many"], "The arguments are wrong"),
        (["--learning-rate", "-1"], "-1 is not above zero"),
        (["--learning-rate", "0"], "0 is not above zero"),
        (["--learning-rate", "nan"], "nan is not above zero"),
        (["--learning-rate", "inf"], "inf is not above zero and finite"),
        (["--label-smoothing", "1"], "1 is not between zero and one"),
        (["--fine-tune-epochs", "-1"], "-1 is not a number from zero on"),
        (["--class-rows", "absent.json", "--data", "."], "The class rows absent.json cannot be read"),
        (["--unheard-of", "1"], "unrecognized arguments: --unheard-of"),
        (["--run-id", "Run_1"], "does not match"),
    ],
)
def test_a_run_that_cannot_start_says_why_where_sagemaker_looks(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SM_OUTPUT_DIR", str(tmp_path))
    monkeypatch.setenv("SM_MODEL_DIR", str(tmp_path / "model"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    failure = (tmp_path / "failure").read_text()
    assert sentence in failure
    assert capsys.readouterr().err == f"{failure}\n"


def test_a_model_directory_with_other_files_is_left_alone(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(SystemExit):
        main(["--data", str(drawn), "--model-dir", str(tmp_path)])
    assert "holds thesis.txt: give an empty one." in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "precious"


@pytest.mark.full
def test_an_earlier_artifact_is_lost_only_to_a_new_one(
    drawn: Path, tmp_path: Path, tiny_backbone: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_training(drawn, tmp_path, *tiny_backbone, "--epochs", "1")
    before = (run.model_dir / "model.json").read_bytes()
    with pytest.raises(SystemExit):
        run_training(drawn, tmp_path, *tiny_backbone, "--learning-rate", "1e35")
    assert "The weights of epoch 0 are kept in" in capsys.readouterr().err
    read_artifact(run.model_dir)
    assert (run.model_dir / "model.json").read_bytes() == before


def test_three_images_are_too_few(
    dogs: Callable[[dict[str, int]], Path], tmp_path: Path, tiny_backbone: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_training(dogs({"a": 2, "b": 1}), tmp_path, *tiny_backbone)
    assert "The class a has 2 images, too few to make valid and test" in capsys.readouterr().err


def test_an_absurd_learning_rate_ends_in_a_sentence(
    drawn: Path, tmp_path: Path, tiny_backbone: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_training(drawn, tmp_path, *tiny_backbone, "--learning-rate", "1e35")
    assert "lower --learning-rate" in capsys.readouterr().err


def test_a_little_breakage_is_skipped_counted_and_listed(
    dogs: Callable[[dict[str, int]], Path], tmp_path: Path, tiny_backbone: list[str]
) -> None:
    folder = dogs({"train/a": 30, "train/b": 30, "valid/a": 5, "valid/b": 5, "test/a": 5, "test/b": 5})
    (folder / "train" / "a" / "000.png").write_text("a text file called .png")
    (folder / "valid" / "a" / "000.png").write_text("another")
    run = run_training(folder, tmp_path, *tiny_backbone, "--epochs", "2")
    assert [entry["file"] for entry in run.metrics["data"]["broken"]] == ["valid/a/000.png", "train/a/000.png"]
    assert "skipped_images=2" in run.log


def test_a_photograph_taken_apart_from_its_class_is_recognised(photographs: Path, tmp_path: Path) -> None:
    """Ten real breeds, ten photographs of each: a fraction of a run, and enough to see that pixels and labels fit."""
    for split, count in {"train": 10, "valid": 3, "test": 5}.items():
        for breed in sorted((photographs / split).iterdir())[:10]:
            target = tmp_path / "dogs" / split / breed.name
            target.mkdir(parents=True)
            for photo in sorted(breed.iterdir())[:count]:
                (target / photo.name).symlink_to(photo)
    run = run_training(tmp_path / "dogs", tmp_path, "--batch-size", "32", "--calibration-images", "0")
    assert run.metrics["test_top1"] > 0.75

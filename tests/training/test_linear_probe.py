"""The linear probe starts where it is told to, and class rows that fit nothing are refused."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import ImageNetInfo
from torch import nn

from training.arguments import parse_arguments
from training.backbone import load_backbone
from training.errors import TrainingError
from training.hosts import Hosts
from training.linear_probe import MEAN_SCALE, layer_from_rows, linear_probe, read_class_rows
from training.network import Outputs

from .conftest import run_training

CLASSES = ("collie", "dingo", "pug")


def outputs(images: int, seed: int) -> Outputs:
    torch.manual_seed(seed)
    return Outputs(3 * torch.randn(images, 5) + 2, torch.arange(images) % 3, torch.arange(images))


def test_a_probe_begins_with_the_layer_that_it_is_given() -> None:
    torch.manual_seed(0)
    start = nn.Linear(5, 3)
    train, valid = outputs(40, seed=1), outputs(10, seed=2)
    probe = linear_probe(train, valid, start, parse_arguments([]), Hosts())
    assert torch.allclose(probe.stage.valid_logits(), start(valid.values), atol=1e-5)
    assert torch.allclose(probe.head()(valid.values), start(valid.values), atol=1e-5)


def test_without_rows_a_probe_begins_with_the_nearest_mean() -> None:
    train, valid = outputs(40, seed=1), outputs(10, seed=2)
    assert layer_from_rows(None, {}, CLASSES) is None
    probe = linear_probe(train, valid, None, parse_arguments([]), Hosts())
    inputs, others = ((one.values - probe.mean) / probe.std for one in (train, valid))
    means = torch.stack([inputs[train.labels == label].mean(dim=0) for label in range(3)])
    expected = (-MEAN_SCALE / 2 * torch.cdist(others, means).square()).softmax(dim=1)
    assert torch.allclose(probe.stage.valid_logits().softmax(dim=1), expected, atol=1e-5)


def test_rows_of_the_classifier_are_taken_or_averaged() -> None:
    torch.manual_seed(0)
    classifier = nn.Linear(5, 10)
    layer = layer_from_rows(classifier, {"dingo": [4], "pug": [1, 2]}, CLASSES)
    assert layer
    assert torch.equal(layer.weight[1], classifier.weight[4])
    assert torch.equal(layer.bias[1], classifier.bias[4])
    assert torch.allclose(layer.weight[2], classifier.weight[[1, 2]].mean(dim=0))
    assert torch.allclose(layer.weight[0], classifier.weight[[1, 2, 4]].mean(dim=0))  # no row of its own


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("no JSON", "cannot be read as JSON"),
        ("[1, 2]", "are no JSON object"),
        ('{"pug": "254"}', "pug is neither a number nor a list"),
        ('{"pug": []}', "pug is neither a number nor a list"),
        ('{"pug": [1, 2.5]}', "pug is neither a number nor a list"),
    ],
)
def test_a_file_that_is_no_class_rows_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(content)
    with pytest.raises(TrainingError, match=sentence):
        read_class_rows(path)
    with pytest.raises(TrainingError, match="cannot be read as JSON"):
        read_class_rows(tmp_path / "absent.json")


def test_rows_that_fit_nothing_are_refused() -> None:
    classifier = nn.Linear(5, 10)
    with pytest.raises(TrainingError, match="without its classifier"):
        layer_from_rows(None, {"pug": [1]}, CLASSES)
    with pytest.raises(TrainingError, match="name poodle, which is no class"):
        layer_from_rows(classifier, {"poodle": [1]}, CLASSES)
    with pytest.raises(TrainingError, match="name row 10; the backbone's classifier has rows 0 to 9"):
        layer_from_rows(classifier, {"pug": [10]}, CLASSES)


def test_the_classifier_comes_with_the_weights(tmp_path: Path) -> None:
    whole = timm.create_model("test_efficientnet", pretrained=False)
    state = whole.state_dict()
    save_file(state, tmp_path / "whole.safetensors")
    classifier = load_backbone("test_efficientnet", str(tmp_path / "whole.safetensors"), 32).classifier
    assert classifier is not None
    assert torch.equal(classifier.weight, whole.get_classifier().weight)
    bare = {name: tensor for name, tensor in state.items() if not name.startswith("classifier.")}
    save_file(bare, tmp_path / "bare.safetensors")
    assert load_backbone("test_efficientnet", str(tmp_path / "bare.safetensors"), 32).classifier is None
    packaged = load_backbone("tf_efficientnet_lite0", None, None).classifier
    assert packaged is not None
    assert packaged.weight.shape == (1000, 1280)


@pytest.mark.full
def test_what_the_backbone_knows_of_breeds_is_of_use(photographs: Path, tmp_path: Path) -> None:
    """Six real breeds, four photographs of each to learn from: with the rows of ImageNet more are right."""
    known = json.loads((photographs / "classes.json").read_text())["wnid_to_class"]
    imagenet = {wnid: number for number, wnid in enumerate(ImageNetInfo().label_names())}
    rows = {name: imagenet[wnid] for wnid, name in known.items() if wnid in imagenet}
    chosen = [name for name in sorted(rows) if (photographs / "train" / name).is_dir()][:6]
    (tmp_path / "rows.json").write_text(json.dumps({name: rows[name] for name in chosen}))
    for split, count in {"train": 4, "valid": 3, "test": 6}.items():
        for name in chosen:
            target = tmp_path / "dogs" / split / name
            target.mkdir(parents=True)
            for photo in sorted((photographs / split / name).iterdir())[:count]:
                (target / photo.name).symlink_to(photo)
    fixed = ["--calibration-images", "0", "--epochs", "3"]
    without = run_training(tmp_path / "dogs", tmp_path / "without", *fixed)
    with_rows = run_training(tmp_path / "dogs", tmp_path / "with", *fixed, "--class-rows", str(tmp_path / "rows.json"))
    assert with_rows.metrics["history"][0]["valid_loss"] < without.metrics["history"][0]["valid_loss"]
    assert with_rows.metrics["test_top1"] >= without.metrics["test_top1"]

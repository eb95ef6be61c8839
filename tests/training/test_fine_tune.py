"""Fine-tuning moves what it is told to move, and stays only where validation is the better for it."""

import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from inference.inference import model_fn
from training.backbone import load_backbone
from training.fine_tune import finished, tuned_network
from training.network import Network

from .conftest import run_training

MANY = 99


@pytest.mark.parametrize(
    ("blocks", "learning"),
    [(1, {"blocks.4", "conv_head", "bn2"}), (2, {"blocks.3", "blocks.4", "conv_head", "bn2"}), (MANY, None)],
)
def test_the_last_blocks_learn_and_the_rest_stays(
    tiny_backbone: list[str], blocks: int, learning: set[str] | None
) -> None:
    backbone = load_backbone("test_efficientnet", tiny_backbone[3], 32)
    torch.manual_seed(0)
    head = nn.Linear(backbone.module(torch.zeros(1, 3, 32, 32)).shape[1], 3)
    before = {name: tensor.clone() for name, tensor in backbone.module.state_dict().items()}
    tuned = tuned_network(backbone, head, blocks)
    parameters = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.01)
    tuned.train()
    for _ in range(2):
        pixels = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
        optimizer.zero_grad()
        nn.functional.cross_entropy(tuned(pixels), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
    module, after_head = finished(tuned)
    assert not torch.equal(after_head.weight, head.weight)
    moved = {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not any("running" in name for name in moved)  # the statistics of BatchNorm
    if learning:
        assert {re.sub(r"^(blocks\.\d|\w+).*", r"\1", name) for name in moved} == learning
    else:
        assert moved == dict(backbone.module.named_parameters()).keys()
    # What it was made from is untouched: it is what is exported where validation is no better.
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.module.state_dict().items())
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_the_stage_that_validates_better_is_exported(drawn: Path, tmp_path: Path, tiny_backbone: list[str]) -> None:
    """From random weights there is much to gain by it, and with an absurd learning rate nothing."""
    fixed = [*tiny_backbone, "--epochs", "1", "--fine-tune-epochs", "3", "--fine-tune-blocks", str(MANY)]
    better = run_training(drawn, tmp_path / "better", *fixed, "--fine-tune-learning-rate", "0.003")
    stages = better.metrics["stages"]
    assert better.metrics["kept"] == "fine_tuning"
    assert stages["fine_tuning"]["valid_loss"] < stages["head"]["valid_loss"]
    worse = run_training(drawn, tmp_path / "worse", *fixed, "--fine-tune-learning-rate", "0.3")
    stages = worse.metrics["stages"]
    assert worse.metrics["kept"] == "head"
    assert stages["fine_tuning"]["valid_loss"] >= stages["head"]["valid_loss"]
    for run in (better, worse):
        assert len(run.metrics["fine_tuning_history"]) in (1, 2, 3)
        page = (run.output_dir / "report.html").read_text()
        for stage in run.metrics["stages"].values():
            assert f"{stage['valid_loss']:.4f}" in page
        network = exported(run.model_dir, tiny_backbone)
        pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
        with torch.no_grad():
            expected = network(torch.from_numpy(pixels)).numpy()
        found = model_fn(run.model_dir).engine(pixels)
        assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()


def exported(model_dir: Path, tiny_backbone: list[str]) -> Network:
    """The network of an artifact's weights, in PyTorch."""
    weights = load_file(model_dir / "model.safetensors")
    spec = load_backbone("test_efficientnet", tiny_backbone[3], 32).input
    backbone = timm.create_model("test_efficientnet", pretrained=False, num_classes=0)
    classes, features = weights["head.weight"].shape
    network = Network(backbone, nn.Linear(features, classes), spec)
    network.load_state_dict(weights)
    return network.eval()

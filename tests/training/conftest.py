"""One drawn data set and one training on it, shared by the tests that only look at the results."""

import io
import json
import subprocess
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from training.train import main

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Trained:
    """What a run left behind."""

    model_dir: Path
    output_dir: Path
    log: str

    @property
    def metrics(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.output_dir / "metrics.json").read_text())
        return content


def run_training(data: Path, folder: Path, *arguments: str) -> Trained:
    """`python -m training.train` in this process, into folder/model and folder/output."""
    model_dir, output_dir, log = folder / "model", folder / "output", io.StringIO()
    places = ["--data", str(data), "--model-dir", str(model_dir), "--output-dir", str(output_dir)]
    with redirect_stdout(log):
        main([*places, "--run-id", "run-test", *arguments])
    return Trained(model_dir, output_dir, log.getvalue())


def in_mount_namespace(mount: list[str], command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command after a mount that only the two of them see: a disk that is full, or read-only, for real."""
    inside = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("This kernel lets no user make a mount namespace (unshare --map-root-user --mount)")
    script = 'set -e; n=$1; shift; "${@:1:n}"; shift "$n"; exec "$@"'
    return subprocess.run(
        [*inside, "bash", "-c", script, "bash", str(len(mount)), *mount, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT,
    )


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments for a backbone that takes no time and knows nothing."""
    weights = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    torch.manual_seed(0)
    save_file(timm.create_model("test_efficientnet", pretrained=False).state_dict(), weights)
    return [
        "--backbone",
        "test_efficientnet",
        "--weights",
        str(weights),
        "--image-size",
        "32",
        "--calibration-images",
        "0",
    ]


@pytest.fixture(scope="session")
def trained(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return run_training(drawn, tmp_path_factory.mktemp("trained"), "--calibration-images", "16")


@pytest.fixture
def dogs(tmp_path: Path) -> Callable[[dict[str, int]], Path]:
    """dogs({"train/a": 3, "valid/a": 1}) -> a folder with so many different images in each class."""

    def make(counts: dict[str, int]) -> Path:
        folder = tmp_path / "dogs"
        for place, (class_name, count) in enumerate(sorted(counts.items())):
            (folder / class_name).mkdir(parents=True)
            for number in range(count):
                colour = (number * 7 % 256, number * 31 % 256, place)
                Image.new("RGB", (24, 24), colour).save(folder / class_name / f"{number:03}.png")
        return folder

    return make

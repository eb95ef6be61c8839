"""Memory grows with the features, not with the images."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIES = 10
FEATURES = 256  # of the tiny backbone
ALLOWED_BESIDE_THE_FEATURES_MB = 40


def peak_mb(data: Path, folder: Path, arguments: list[str]) -> float:
    """The high-water mark of a training, in 10^6 bytes."""
    program = (
        "import json, sys; from training.train import main; main(sys.argv[1:]);"
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
    )
    places = ["--data", str(data), "--model-dir", str(folder / "model"), "--output-dir", str(folder / "output")]
    ran = subprocess.run(
        [sys.executable, "-c", program, *places, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(ran.stdout.splitlines()[-1]) * 1024 / 1e6


@pytest.mark.full
def test_ten_times_the_images_take_no_more_than_their_features(
    drawn: Path, tmp_path: Path, tiny_backbone: list[str], record_property: Callable[[str, object], None]
) -> None:
    for photo in sorted(drawn.rglob("*.jpg")):
        for number in range(COPIES):
            target = tmp_path / "many" / photo.relative_to(drawn).with_stem(f"{photo.stem}-{number}")
            target.parent.mkdir(parents=True, exist_ok=True)
            # Behind the end of the JPEG, so that each is an image of its own.
            target.write_bytes(photo.read_bytes() + bytes([number]))
    arguments = [*tiny_backbone, "--image-size", "128", "--fine-tune-epochs", "1"]
    few, many = (peak_mb(data, tmp_path / data.name, arguments) for data in (drawn, tmp_path / "many"))
    images = json.loads((tmp_path / "many" / "output" / "metrics.json").read_text())["images"]
    assert sum(images.values()) == COPIES * 432
    features_mb = COPIES * 360 * FEATURES * 4 / 1e6
    record_property("memory", f"432 images {few:.0f} MB, {COPIES} times as many {many:.0f} MB")
    # As they come, in one piece, standardised and checkpointed.
    assert many - few < 4 * features_mb + ALLOWED_BESIDE_THE_FEATURES_MB

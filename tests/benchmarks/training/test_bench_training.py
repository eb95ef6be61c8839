"""That the benchmark of training measures what it says: the seed's loop, the reading of logs, the comparison."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from inference.artifact import InputSpec
from tests.benchmarks.training import report
from tests.benchmarks.training.__main__ import check_data
from tests.benchmarks.training.runs import BenchmarkError, MemoryWatch, Run, read_record, run
from tests.benchmarks.training.seed_training import AS_IT_STANDS, NORMALISED, make_loaders, make_network, top1, train
from tests.benchmarks.training.trial import prepare_trial
from tests.conftest import wait_for
from training.backbone import Backbone

COLOURS = {"blue": (20, 30, 220), "red": (220, 30, 20)}
COUNTS = {"train": 4, "valid": 2, "test": 2}


class TinyBackbone(nn.Module):
    """As a backbone is: a BatchNorm in it, and features [n, 4] out."""

    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 8, stride=8)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.norm(self.convolution(images)).relu().mean(dim=(2, 3))
        return features


@pytest.fixture
def tiny() -> Backbone:
    torch.manual_seed(0)
    spec = InputSpec(224, 224, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return Backbone("tiny", TinyBackbone().eval().requires_grad_(False), spec, classifier=None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for place, (split, count) in enumerate(COUNTS.items()):
        for name, (red, green, blue) in COLOURS.items():
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                colour = (red + number, green + place, blue)
                Image.new("RGB", (230, 240), colour).save(tmp_path / split / name / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize(("variant", "drifts", "epochs"), [(AS_IT_STANDS, True, 1), (NORMALISED, False, 2)])
def test_the_seeds_loop_has_the_faults_that_it_is_said_to_have(
    tiny: Backbone, data: Path, variant: str, drifts: bool, epochs: int
) -> None:
    loaders = make_loaders(data, tiny, variant)
    network = make_network(tiny, classes=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    records = list(train(network, loaders, variant, epochs=2))
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert ("0.norm.running_mean" in changed) == drifts
    assert "0.convolution.weight" not in changed
    assert "1.0.weight" in changed
    pixels = torch.cat([images for images, _ in loaders["valid"]])
    assert (float(pixels.min()) < 0) == (variant == NORMALISED)
    assert len(records) == epochs or records[-1]["valid_top1"] < records[-2]["valid_top1"]
    for record in records:
        # 8 images in one batch: the sum, floored.
        assert record["train_loss_logged"] == math.floor(8 * record["train_loss"])


def test_accuracy_is_the_share_of_right_answers(tiny: Backbone, data: Path) -> None:
    loaders = make_loaders(data, tiny, NORMALISED)
    network = make_network(tiny, classes=2)
    last = network.get_submodule("1.2")
    nn.init.zeros_(last.get_parameter("weight"))
    last.get_parameter("bias").data = torch.tensor([1.0, 0.0])
    assert top1(network, loaders["test"]) == 0.5


def test_a_run_is_stamped_line_by_line(tmp_path: Path) -> None:
    program = "print('epoch=1 valid_top1=0.5000 name=red')\nprint('phase=head seconds=1.5')"
    found = run(["-c", program], tmp_path / "log")
    first, second = (dict(record) for record in found.records)
    assert 0 < first.pop("elapsed_seconds") <= second.pop("elapsed_seconds") <= found.wall_seconds
    assert (first, second) == ({"epoch": 1, "valid_top1": 0.5}, {"seconds": 1.5})
    assert found.cpu_seconds > 0
    assert (tmp_path / "log").read_text() == "epoch=1 valid_top1=0.5000 name=red\nphase=head seconds=1.5\n"


def test_memory_is_that_of_a_process_at_its_peak_and_of_its_children() -> None:
    child = "pages = bytearray(b'1') * 100_000_000; input()"
    program = (
        "import subprocess, sys\n"
        "pages = bytearray(b'1') * 300_000_000\n"
        "del pages\n"
        "print('freed', flush=True)\n"
        "input()\n"
        "pages = bytearray(b'1') * 250_000_000\n"
        f"subprocess.run([sys.executable, '-c', {child!r}])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"freed\n"
    watch = MemoryWatch(process.pid)
    watch.start()
    wait_for(lambda: watch.peak_bytes)
    assert 300e6 < watch.peak_bytes < 330e6
    process.stdin.write(b"\n")
    process.stdin.flush()
    wait_for(lambda: watch.peak_bytes > 345e6)
    process.communicate(b"\n")
    watch.join()
    # Not twice 250, as resident pages add up to while the child has just been forked.
    assert watch.peak_bytes < 400e6


def test_a_run_that_fails_is_named_with_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"ended with status 3 \(the disk is full\): see .*log"):
        run(["-c", "import sys; print('the disk is full'); sys.exit(3)"], tmp_path / "log")


def test_a_search_trial_trains_the_head_and_prints_what_is_read(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = data / "tiny.safetensors"
    save_file(timm.create_model("test_efficientnet", pretrained=False).state_dict(), weights)
    backbone = ["--backbone", "test_efficientnet", "--weights", str(weights), "--image-size", "32"]
    trial = prepare_trial(["--data", str(data), *backbone])
    trial()
    capsys.readouterr()
    trial()  # from the beginning, as the first did
    records = [read_record(line) for line in capsys.readouterr().out.splitlines()]
    epochs = [record for record in records if "epoch" in record]
    assert [epoch["epoch"] for epoch in epochs] == list(range(1, len(epochs) + 1))
    assert len(epochs) > 1
    assert all(0 <= epoch["valid_top1"] <= 1 for epoch in epochs)


def seed_run(top1: list[float]) -> Run:
    """A run of the seed's whose epochs take 10 seconds, and whose looks at the test split take 4."""
    records: list[dict[str, float]] = [{"images_per_epoch": 100, "elapsed_seconds": 1}]
    for number, found in enumerate(top1):
        end = 14 * number + 10
        records.append({"epoch": number + 1, "epoch_seconds": 10, "valid_top1": found, "elapsed_seconds": end})
        test = {"test_top1": found - 0.1, "test_seconds": 4, "test_cpu_seconds": 6, "elapsed_seconds": end + 4}
        records.append(test)
    return Run(records, wall_seconds=14 * len(top1), cpu_seconds=26 * len(top1), peak_memory_mb=900)


def our_run(seconds: float, memory_mb: float) -> dict[str, object]:
    records: list[dict[str, float]] = [
        {"epoch": 1, "valid_top1": 0.3, "elapsed_seconds": 1},
        {"epoch": 2, "valid_top1": 0.7, "elapsed_seconds": seconds},
    ]
    metrics = {"test_top1": 0.65, "seconds": {"prepare": 1, "features": 2, "head": 1, "export": 9}}
    return report.our_figures(Run(records, 20, 30, memory_mb), metrics, images=100)


def test_ours_is_compared_with_the_normalised_seeds_best(tmp_path: Path) -> None:
    seed = report.seed_figures(seed_run([0.2]))
    normalised = report.seed_figures(seed_run([0.4, 0.6, 0.5]))
    runs = [our_run(2, 700), our_run(4, 800), our_run(50, 750)]
    figures = report.summarise(seed, normalised, runs, trials=[0.1, 0.1, 0.3])
    assert figures["speedup_to_seed_best"] == 20 / 4  # the second epoch's end without the look at test, our median
    assert figures["accuracy_gain_points"] == pytest.approx(15)
    assert figures["trial_ratio"] == pytest.approx(100)
    assert figures["peak_memory_mb"] == 800
    assert figures["seed_normalised"]["cpu_seconds"] == 60
    assert figures["seed_normalised"]["wall_seconds"] == 30
    assert figures["ours"]["images_per_second"] == 25
    report.write_report(figures, tmp_path / "training")
    written = json.loads((tmp_path / "training.json").read_text())
    assert written["speedup_to_seed_best"] == 5
    assert "| time to 60.0 % of validation, s | not reached | 20.0 | 4.0 |" in (tmp_path / "training.md").read_text()
    assert Image.open(tmp_path / "training.png").size[0] > 1000


def test_an_accuracy_that_ours_does_not_reach_is_no_figure() -> None:
    seed = report.seed_figures(seed_run([0.2]))
    better = report.seed_figures(seed_run([0.9]))
    figures = report.summarise(seed, better, [our_run(2, 700)], trials=[0.1])
    assert figures["speedup_to_seed_best"] is None
    assert "| not reached |" in report.against_targets(figures)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [("", "There is no data: give DATA="), ("nowhere", "nowhere/train"), ("flat", "has no folders of classes")],
)
def test_bad_input_is_one_sentence(tmp_path: Path, given: str, sentence: str) -> None:
    for split in COUNTS:
        (tmp_path / "flat" / split).mkdir(parents=True)
    with pytest.raises(BenchmarkError, match=sentence):
        check_data(given and str(tmp_path / given))


def test_the_command_ends_in_that_sentence(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"ended with status 1 \(There is no data: give DATA="):
        run(["-m", "tests.benchmarks.training"], tmp_path / "log")
    assert "Traceback" not in (tmp_path / "log").read_text()

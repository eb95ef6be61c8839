"""A checkpoint is whole or is not there, whatever happens to the disk."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from training.checkpoint import Checkpoints, flatten_optimizer, restore_optimizer
from training.errors import TrainingError

from .conftest import in_mount_namespace

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(7), "c": torch.ones(2, 4).t()}


def saved_twice(folder: Path) -> Checkpoints:
    checkpoints = Checkpoints(folder, "key")
    checkpoints.save("stage", TENSORS, {"epoch": 1})
    checkpoints.save("stage", TENSORS, {"epoch": 2, "history": [{"loss": 0.1}]})
    return checkpoints


def epoch_of(checkpoints: Checkpoints) -> int | None:
    loaded = checkpoints.load("stage")
    return loaded[1]["epoch"] if loaded else None


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    loaded = saved_twice(tmp_path).load("stage")
    assert loaded
    tensors, facts = loaded
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert facts == {"epoch": 2, "history": [{"loss": 0.1}]}
    assert Checkpoints(tmp_path, "key").load("another") is None


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_one_makes_way_for_the_one_before(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = saved_twice(tmp_path)
    random = np.random.default_rng(seed)
    path = tmp_path / "key" / "stage"
    content = bytearray(path.read_bytes())
    if seed % 2:
        content[random.integers(len(content))] ^= 1 << int(random.integers(8))
    else:
        del content[random.integers(len(content)) :]
    path.write_bytes(content)
    assert epoch_of(checkpoints) == 1
    assert capsys.readouterr().out == "The checkpoint stage is damaged: going on from the one before.\n"
    (tmp_path / "key" / "stage.previous").write_bytes(b"")
    assert epoch_of(checkpoints) is None


def test_a_death_between_the_two_renames_leaves_the_one_before(tmp_path: Path) -> None:
    checkpoints = saved_twice(tmp_path)
    (tmp_path / "key" / "stage").rename(tmp_path / "key" / "stage.previous")
    (tmp_path / "key" / "stage.part").write_bytes(b"half")
    assert epoch_of(checkpoints) == 2


def test_what_belongs_to_other_inputs_is_thrown_away(tmp_path: Path) -> None:
    saved_twice(tmp_path)
    (tmp_path / "notes.txt").write_text("precious")
    assert epoch_of(Checkpoints(tmp_path, "other")) is None
    assert {path.name for path in tmp_path.iterdir()} == {"other", "notes.txt"}


def test_a_full_disk_is_one_sentence_and_the_last_one_still_loads(tmp_path: Path) -> None:
    program = """
import sys, torch
from pathlib import Path
from training.checkpoint import Checkpoints
from training.errors import TrainingError
checkpoints = Checkpoints(Path(sys.argv[1]), "key")
for epoch in range(1, 100):
    try:
        # One fits beside its successor, until they have grown to more than half of the disk.
        checkpoints.save("stage", {"weights": torch.zeros(20_000 * epoch)}, {"epoch": epoch})
    except TrainingError as error:
        print(epoch - 1, checkpoints.load("stage")[1]["epoch"], sorted(p.name for p in checkpoints.directory.iterdir()))
        sys.exit(str(error))
"""
    ran = in_mount_namespace(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(tmp_path)], [sys.executable, "-c", program, str(tmp_path)]
    )
    assert ran.returncode == 1, ran.stderr
    saved, loaded, names = ran.stdout.strip().split(" ", 2)
    assert int(saved) == int(loaded) > 1
    assert names == "['stage', 'stage.previous']"
    assert ran.stderr == (
        f"A checkpoint cannot be saved in {tmp_path}/key (No space left on device): mend that and start the same "
        "command again; it goes on from the checkpoint before.\n"
    )


def test_an_error_of_the_disk_leaves_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = saved_twice(tmp_path)

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(TrainingError, match=r"Input/output error\): mend that"):
        checkpoints.save("stage", TENSORS, {"epoch": 3})
    assert epoch_of(checkpoints) == 2
    assert not list(tmp_path.rglob("*.part"))


def test_an_optimiser_goes_on_as_if_nothing_had_been() -> None:
    def steps(optimizer: torch.optim.Optimizer, layer: nn.Linear, count: int, seed: int) -> None:
        torch.manual_seed(seed)
        for _ in range(count):
            optimizer.zero_grad()
            layer(torch.randn(4, 5)).square().sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    layer, copy = nn.Linear(5, 3), nn.Linear(5, 3)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    steps(optimizer, layer, 3, seed=1)
    copy.load_state_dict(layer.state_dict())
    other = torch.optim.AdamW(copy.parameters(), lr=0.1)
    restore_optimizer(other, {name: tensor.clone() for name, tensor in flatten_optimizer(optimizer).items()})
    for one, model in ((optimizer, layer), (other, copy)):
        steps(one, model, 3, seed=2)
    assert torch.equal(layer.weight, copy.weight)
    assert torch.equal(layer.bias, copy.bias)


def test_the_file_is_no_pickle(tmp_path: Path) -> None:
    saved_twice(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-m", "pickletools", str(tmp_path / "key" / "stage")], capture_output=True, check=False
    )
    assert ran.returncode != 0

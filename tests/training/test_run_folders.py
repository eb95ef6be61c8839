"""Where a run writes is tried out first, is its own while it lasts, and tells afterwards what it was made of."""

import json
import sys
from pathlib import Path

import pytest

from training.record import features_key, training_key
from training.run_folders import reserve
from training.train import main

from .conftest import Trained, in_mount_namespace, run_training


def test_two_runs_into_one_folder_are_refused(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for shared in ("model", "output", "checkpoints"):
        places = {
            name: str(tmp_path / (name if name == shared else f"{shared}-{name}"))
            for name in ("model", "output", "checkpoints")
        }
        with reserve([tmp_path / shared]), pytest.raises(SystemExit) as ended:
            main(
                [
                    *("--data", str(drawn), "--model-dir", places["model"]),
                    *("--output-dir", places["output"], "--checkpoint-dir", places["checkpoints"]),
                ]
            )
        assert ended.value.code == 1
        said = capsys.readouterr()
        assert said.err.startswith(f"Another run is writing to {tmp_path / shared}: wait for its end, or give this one")
        assert "images" not in said.out
    with reserve([tmp_path / "model"]):  # the lock went with the run that was refused
        pass


def test_a_place_that_cannot_be_written_is_told_before_any_work(tmp_path: Path, drawn: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "training.train",
        "--data",
        str(drawn),
        "--model-dir",
        str(tmp_path / "m" / "model"),
    ]
    (tmp_path / "ro").mkdir()
    ran = in_mount_namespace(
        ["mount", "-t", "tmpfs", "-o", "ro", "none", str(tmp_path / "ro")],
        [*command, "--output-dir", str(tmp_path / "ro" / "output")],
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        f"Nothing can be written to {tmp_path}/ro/output (Read-only file system): give another folder.\n"
    )


def test_the_run_is_on_record(trained: Trained) -> None:
    record = json.loads((trained.output_dir / "run.json").read_text())
    assert (record["run_id"], record["seed"], record["arguments"]["epochs"]) == ("run-test", 0, 30)
    assert record["data_sha256"] == trained.metrics["data"]["hash"]
    assert record["versions"]["torch"].startswith("2.")
    for name in ("data_sha256", "code_sha256", "backbone_sha256"):
        assert len(record[name]) == 64
    text = json.dumps(record)
    assert str(trained.output_dir.parent) not in text


def test_features_outlive_a_change_of_hyperparameters_and_weights_do_not(trained: Trained) -> None:
    record = json.loads((trained.output_dir / "run.json").read_text())
    renamed = {**record, "run_id": "another", "arguments": {**record["arguments"], "checkpoint_seconds": 0}}
    changed = {**record, "arguments": {**record["arguments"], "learning_rate": 0.1}}
    other_data = {**record, "data_sha256": "0" * 64}
    assert features_key(record) == features_key(renamed) == features_key(changed) != features_key(other_data)
    assert training_key(record) == training_key(renamed)
    assert len({training_key(one) for one in (record, changed, other_data)}) == 3


@pytest.mark.full
def test_a_second_run_with_another_learning_rate_computes_no_features(
    drawn: Path, tmp_path: Path, tiny_backbone: list[str]
) -> None:
    def shards() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "checkpoints" / "features").rglob("*-0*")}

    first = run_training(drawn, tmp_path, *tiny_backbone, "--epochs", "2").metrics
    before = shards()
    second = run_training(drawn, tmp_path, *tiny_backbone, "--epochs", "2", "--learning-rate", "0.01").metrics
    assert len(before) == 2
    assert shards() == before
    assert first["history"] != second["history"]

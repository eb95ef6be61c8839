"""A search from its command line to its table."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ops.outputs import ToolError, run
from ops.tune import main, table
from training.errors import TrainingError
from training.search import RANGES, chosen_by, launch_search, loss_of, rank


def trial(name: str, status: str, loss: float | None, **chosen: str) -> dict[str, Any]:
    metric = {"FinalHyperParameterTuningJobObjectiveMetric": {"MetricName": "valid:loss", "Value": loss}}
    summary = {"TrainingJobName": name, "TrainingJobStatus": status, "TunedHyperParameters": chosen}
    return summary | (metric if loss is not None else {})


def test_the_table_has_the_best_trial_first_and_those_that_came_to_nothing_last() -> None:
    chosen = {"batch-size": '"64"', "learning-rate": "0.0003"}
    found = [
        trial("search-1", "Failed", None, **chosen),
        trial("search-2", "Completed", 0.5, **chosen),
        trial("search-3", "Stopped", 0.1, **chosen),  # early, with the loss of an epoch
        trial("search-4", "Completed", 0.25, **chosen),
    ]
    best_first = sorted(found, key=rank)
    shown = table([{**one, "chosen": chosen_by(one)} for one in best_first], [*map(loss_of, best_first)])
    assert [line.split() for line in shown.splitlines()[:-1]] == [
        ["trial", "valid", "loss", "status", "batch-size", "learning-rate"],
        ["search-4", "0.2500", "Completed", "64", "0.0003"],
        ["search-2", "0.5000", "Completed", "64", "0.0003"],
        ["search-3", "0.1000", "Stopped", "64", "0.0003"],
        ["search-1", "-", "Failed", "64", "0.0003"],
    ]
    assert "calibrated" in shown.splitlines()[-1]


def test_a_tie_is_told() -> None:
    ends = [("Completed", 0.0), ("Completed", 0.0), ("Completed", 0.5), ("Stopped", 0.0)]
    found = [{**trial(f"search-{number}", *end), "chosen": {}} for number, end in enumerate(ends)]
    assert table(found, [loss for _, loss in ends]).splitlines()[-1] == "2 are equally good; the first is taken."


@pytest.mark.parametrize("text", ["0", "x", "", "-1", "101", "1.5", "--x"])
def test_a_number_of_trials_that_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    outputs = tmp_path / "outputs.json"
    outputs.write_text(json.dumps({"region": {"value": "us-east-1"}}))
    given = ["tune", f"--outputs={outputs}", "--source=source.tar.gz", f"--jobs={text}", "--", "--epochs", "4"]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(ToolError, match="JOBS is the number of trials, 1 to 100, not "):
        main()
    with pytest.raises(SystemExit, match="JOBS is the number of trials"):
        run(main)


def test_what_is_fixed_is_not_searched_and_something_must_be_left() -> None:
    with pytest.raises(TrainingError, match="Nothing is left to search: leave one of --learning-rate"):
        launch_search({}, "dogs", Path("source.tar.gz"), dict.fromkeys(RANGES, "1"), 2)

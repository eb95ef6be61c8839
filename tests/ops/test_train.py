"""Arguments on their way from the command line to the job."""

import pytest

from ops.outputs import ToolError
from ops.train import hyperparameters


def test_arguments_become_hyperparameters() -> None:
    assert hyperparameters(["--epochs", "40", "--learning-rate", "1e-3"]) == {"epochs": "40", "learning-rate": "1e-3"}
    assert hyperparameters([]) == {}


@pytest.mark.parametrize("arguments", [["--epochs"], ["epochs", "40"], ["--epochs", "40", "--seed"]])
def test_arguments_that_are_no_pairs_are_refused(arguments: list[str]) -> None:
    with pytest.raises(ToolError, match="come as --name value pairs"):
        hyperparameters(arguments)

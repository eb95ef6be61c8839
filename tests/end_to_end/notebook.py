"""Runs the notebook against a stand-in, as Jupyter would."""

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from local_aws.environment import client_environment, without_aws
from local_aws.home import REPOSITORY
from tests.end_to_end.journey import DATASET, Journey

NOTEBOOK = REPOSITORY / "training" / "train_and_deploy.ipynb"


def execute(path: Journey) -> str:
    """Run the cells. Returns what they showed. Raises where one fails."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    variables = {
        **without_aws(path.environment),
        **client_environment(path.url),
        "ENV": "local",
        "DATASET": DATASET,
        "EPOCHS": "3",
    }
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(REPOSITORY / "training")}}
    )
    client.execute(env=variables)
    return "\n".join(map(shown_by, notebook.cells))


def shown_by(cell: NotebookNode) -> str:
    """The text of a cell's outputs."""
    outputs = cell.get("outputs", [])
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)

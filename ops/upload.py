"""Check a folder of photographs and make the data bucket hold the same.

    python -m ops.upload --outputs build/dev/outputs.json --folder ~/dogImages [--dataset dogs]

The checked set is laid out below build/datasets/<dataset>/, as links, and its report beside it, <dataset>.json.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from inference.artifact import RUN_ID_PATTERN
from ops.outputs import ToolError, read_outputs, run
from training.dataset import prepare, summary

STAGING = Path("build/datasets")


def upload(bucket: str, dataset: str, folder: Path) -> None:
    """Make datasets/<dataset>/ in the bucket equal to the folder: only what differs travels."""
    aws = shutil.which("aws", path=str(Path(sys.executable).parent))
    if aws is None:
        raise ToolError("The AWS CLI of this project is missing: delete .venv and run `make setup`.")
    target = f"s3://{bucket}/datasets/{dataset}/"
    command = [aws, "s3", "sync", str(folder), target, "--delete", "--only-show-errors"]
    if subprocess.run(command, check=False).returncode != 0:
        raise ToolError(f"Not everything reached {target}: run the same command again, it goes on where it stopped.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--dataset", default="dogs")
    arguments = parser.parse_args()
    if not arguments.folder:
        raise ToolError("Say which photographs: make data DATA=<folder of train/valid/test/<breed>/*.jpg>.")
    if not RUN_ID_PATTERN.fullmatch(arguments.dataset):
        raise ToolError(f"{arguments.dataset!r} is no data set name: small letters, digits and dashes, 40 at most.")
    bucket = read_outputs(arguments.outputs)["data_bucket"]
    report = prepare(Path(arguments.folder).expanduser(), STAGING / arguments.dataset)
    print(summary(report), flush=True)
    upload(bucket, arguments.dataset, STAGING / arguments.dataset)
    print(f"Uploaded to s3://{bucket}/datasets/{arguments.dataset}/.")


if __name__ == "__main__":
    run(main)

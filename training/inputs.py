"""What a run somewhere else starts from, in the buckets: the data set, and the code under its own hash."""

import hashlib
from typing import Any

from training.data import SPLITS
from training.errors import TrainingError


def check_uploaded(s3: Any, bucket: str, dataset: str) -> str:
    """The prefix of a data set whose splits are all there. Raises TrainingError when one is not."""
    data = f"datasets/{dataset}"
    for split in SPLITS:
        if not s3.list_objects_v2(Bucket=bucket, Prefix=f"{data}/{split}/", MaxKeys=1)["KeyCount"]:
            raise TrainingError(
                f"The data bucket holds no {data}/{split}/: run `make data DATA=<folder> DATASET={dataset}` first."
            )
    return data


def upload(s3: Any, bucket: str, content: bytes, kind: str) -> str:
    """Put an input under its own hash, so that a run's inputs can always be told, and never change. Returns its key."""
    key = f"source/{hashlib.sha256(content).hexdigest()}.{kind}"
    s3.put_object(Bucket=bucket, Key=key, Body=content)
    return key

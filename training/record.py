"""What a run was made of, so that it can be told, and repeated: run.json."""

import argparse
import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import inference
import training
from inference.engine import cpu_count, cpu_precisions
from training.backbone import Backbone
from training.data import Dataset
from training.files import encoded, replace_file
from training.linear_probe import ClassRows

PACKAGES = ("torch", "torchvision", "timm", "openvino", "nncf", "numpy", "pillow", "safetensors")
# They say where a run lies or what it is called, not what comes out of it.
WITHOUT_EFFECT = ("run_id", "checkpoint_seconds")


def describe_run(
    arguments: argparse.Namespace, class_rows: ClassRows, dataset: Dataset, backbone: Backbone
) -> dict[str, Any]:
    """All that a run's result depends on: two runs of which this is equal end in the same weights on one machine."""
    return {
        "run_id": arguments.run_id,
        "seed": arguments.seed,
        "arguments": hyperparameters(arguments),
        "class_rows": class_rows,
        "data_sha256": dataset.hash,
        "code_sha256": code_hash(),
        "backbone_sha256": backbone.hash,
        "input": vars(backbone.input),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "machine": {
            "cpus": cpu_count(),
            "precisions": cpu_precisions(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def write_run(output_dir: Path, run: Mapping[str, Any]) -> None:
    """Write run.json."""
    replace_file(output_dir / "run.json", encoded(json.dumps(run, indent=2, ensure_ascii=False) + "\n"))


def features_key(run: Mapping[str, Any]) -> str:
    """Changes with all that the features depend on; hyperparameters are not part of it."""
    return short_hash({name: run[name] for name in run if name not in ("run_id", "seed", "arguments", "class_rows")})


def training_key(run: Mapping[str, Any]) -> str:
    """Changes with all that the weights depend on."""
    effective = {name: value for name, value in run["arguments"].items() if name not in WITHOUT_EFFECT}
    return short_hash({**run, "run_id": "", "arguments": effective})


def hyperparameters(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments without those that are places on this machine."""
    places = ("data", "train", "valid", "test", "weights", "model_dir", "output_dir", "checkpoint_dir", "class_rows")
    return {name: value for name, value in vars(arguments).items() if name not in places}


def code_hash() -> str:
    """SHA-256 of the Python files of `training` and `inference`, wherever they lie."""
    digest = hashlib.sha256()
    for package in (inference, training):
        folder = Path(package.__path__[0])
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{folder.name}/{path.relative_to(folder)}".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def short_hash(content: Mapping[str, Any]) -> str:
    """Sixteen digits, enough for a folder's name."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

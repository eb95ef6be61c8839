"""The arguments of a training: the one home of their defaults."""

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from inference.artifact import RUN_ID_PATTERN
from training.data import SPLITS
from training.errors import TrainingError


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; what it leaves out comes from the SM_* names. Raises TrainingError."""
    env = os.environ.get
    # No abbreviations: a search would vary what its user believes to have fixed.
    parser = Parser(description="Train a dog-breed classifier and export it.", allow_abbrev=False)
    paths = parser.add_argument_group("paths, by default from the SM_* names")
    paths.add_argument("--data", type=Path, help="folder of train/valid/test/<class>/<image>, or of <class>/<image>")
    for split in SPLITS:
        no_split = ", or 'none'" if split == "test" else ""
        paths.add_argument(
            f"--{split}", default=env(f"SM_CHANNEL_{split.upper()}"), help=f"folder of the {split} split{no_split}"
        )
    paths.add_argument("--weights", default=env("SM_CHANNEL_WEIGHTS"), help=".safetensors file, its folder, or 'hub'")
    paths.add_argument("--class-rows", type=Path, help="JSON of class: its row(s) in the backbone's own classifier")
    paths.add_argument("--model-dir", type=Path, default=env("SM_MODEL_DIR", "build/model"))
    paths.add_argument("--output-dir", type=Path, default=env("SM_OUTPUT_DATA_DIR", "build/output"))
    paths.add_argument("--checkpoint-dir", type=Path, help="by default the folder 'checkpoints' beside --model-dir")
    parser.add_argument("--run-id", default=json.loads(env("SM_TRAINING_ENV", "{}")).get("job_name"))
    parser.add_argument("--backbone", default="tf_efficientnet_lite0", help="a name of timm's")
    parser.add_argument(
        "--image-size", type=positive(int), help="pixels; by default what the backbone was trained with"
    )
    parser.add_argument("--epochs", type=positive(int), default=30)
    parser.add_argument("--batch-size", type=positive(int), default=256)
    parser.add_argument("--learning-rate", type=positive(float), default=3e-4)
    parser.add_argument("--weight-decay", type=not_negative(float), default=1e-2)
    parser.add_argument("--label-smoothing", type=share, default=0.1)
    parser.add_argument("--patience", type=positive(int), default=5, help="epochs without a better one that end it")
    parser.add_argument("--fine-tune-epochs", type=not_negative(int), default=0, help="0: no fine-tuning")
    parser.add_argument("--fine-tune-blocks", type=positive(int), default=2, help="how many of the last; 99: all")
    parser.add_argument("--fine-tune-batch-size", type=positive(int), default=32)
    parser.add_argument("--fine-tune-learning-rate", type=positive(float), default=3e-5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--calibration-images", type=not_negative(int), default=300, help="training images to quantise by; 0: no int8"
    )
    parser.add_argument("--checkpoint-seconds", type=not_negative(float), default=30, help="work that may be lost")
    parsed = parser.parse_args(arguments)
    parsed.checkpoint_dir = parsed.checkpoint_dir or Path(parsed.model_dir).parent / "checkpoints"
    parsed.run_id = parsed.run_id or time.strftime("run-%Y%m%d-%H%M%S", time.gmtime())
    if not RUN_ID_PATTERN.fullmatch(parsed.run_id):
        raise TrainingError(f"The run id {parsed.run_id!r} does not match {RUN_ID_PATTERN.pattern}.")
    return parsed


class Parser(argparse.ArgumentParser):
    """Reports a bad argument as every other failure is reported, where argparse would exit by itself."""

    def error(self, message: str) -> NoReturn:
        raise TrainingError(f"The arguments are wrong: {message}.")


def positive(kind: type) -> Callable[[str], float]:
    """An argparse type: a finite number above zero. (nan is not above zero.)"""

    def parse(text: str) -> float:
        value: float = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not above zero and finite")
        return value

    parse.__name__ = kind.__name__  # argparse says it of what is no number at all
    return parse


def not_negative(kind: type) -> Callable[[str], float]:
    """An argparse type: a finite number from zero on."""

    def parse(text: str) -> float:
        value: float = kind(text)
        if not 0 <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not a number from zero on")
        return value

    parse.__name__ = kind.__name__
    return parse


def share(text: str) -> float:
    """An argparse type: a number from zero to below one."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between zero and one")
    return value

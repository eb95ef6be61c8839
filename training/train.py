"""Train a dog-breed classifier: a linear head on the features of a frozen, pretrained backbone.

Three ways to run it:

    python -m training.train --data ~/dogImages --model-dir build/model --output-dir build/output

    python train.py --epochs 30          # as a SageMaker job: the toolkit sets SM_CHANNEL_TRAIN, SM_MODEL_DIR, …

    SM_CHANNEL_TRAIN=… SM_CHANNEL_VALID=… SM_CHANNEL_TEST=… SM_MODEL_DIR=… SM_OUTPUT_DATA_DIR=… python train.py
                                         # on any machine that sets the same names (EC2 user-data)

Each image is decoded once and passes the backbone once; the head then trains on the cached features in seconds. The
best epoch by validation is exported, and the test split is looked at once, at the end, through the exported artifact.
"""

import argparse
import copy
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from inference.artifact import RUN_ID_PATTERN, Manifest, seal
from inference.inference import model_fn
from inference.preprocess import Preprocess
from training.backbone import load_backbone
from training.data import SPLITS, Broken, DataError, Dataset, find_splits, read_dataset
from training.errors import TrainingError
from training.evaluation import evaluate, fit_temperature
from training.export import clear_model_dir, fold_standardisation, write_network
from training.network import Network, Outputs, run_over, runner, to_openvino, with_head
from training.precision import choose_precision, compare, float_candidates, quantize
from training.report import write_report

# The least standard deviation that a feature is divided by, as a share of the features' average one.
STD_FLOOR = 0.1


class Parser(argparse.ArgumentParser):
    """Reports a bad argument as every other failure is reported, where argparse would exit by itself."""

    def error(self, message: str) -> NoReturn:
        raise TrainingError(f"The arguments are wrong: {message}.")


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; what it leaves out comes from the SM_* names. Raises TrainingError."""
    env = os.environ.get
    parser = Parser(description=(__doc__ or "").partition("\n")[0])
    paths = parser.add_argument_group("paths, by default from the SM_* names")
    paths.add_argument("--data", type=Path, help="folder of train/valid/test/<class>/<image>, or of <class>/<image>")
    for split in SPLITS:
        paths.add_argument(
            f"--{split}", default=env(f"SM_CHANNEL_{split.upper()}"), help=f"folder of the {split} split"
        )
    paths.add_argument("--weights", default=env("SM_CHANNEL_WEIGHTS"), help=".safetensors file, its folder, or 'hub'")
    paths.add_argument("--model-dir", type=Path, default=env("SM_MODEL_DIR", "build/model"))
    paths.add_argument("--output-dir", type=Path, default=env("SM_OUTPUT_DATA_DIR", "build/output"))
    parser.add_argument("--run-id", default=json.loads(env("SM_TRAINING_ENV", "{}")).get("job_name"))
    parser.add_argument("--backbone", default="tf_efficientnet_lite0", help="a name of timm's")
    parser.add_argument(
        "--image-size", type=positive(int), help="pixels; by default what the backbone was trained with"
    )
    parser.add_argument("--epochs", type=positive(int), default=30)
    parser.add_argument("--batch-size", type=positive(int), default=256)
    parser.add_argument("--learning-rate", type=positive(float), default=3e-4)
    parser.add_argument("--weight-decay", type=float, default=1e-2)
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--calibration-images", type=not_negative, default=300, help="training images to quantise by; 0: no int8"
    )
    parsed = parser.parse_args(arguments)
    parsed.run_id = parsed.run_id or time.strftime("run-%Y%m%d-%H%M%S", time.gmtime())
    if not RUN_ID_PATTERN.fullmatch(parsed.run_id):
        raise TrainingError(f"The run id {parsed.run_id!r} does not match {RUN_ID_PATTERN.pattern}.")
    return parsed


def train(arguments: argparse.Namespace) -> None:
    """The whole run. Raises TrainingError, or OSError when a result cannot be written."""
    torch.manual_seed(arguments.seed)
    seconds: dict[str, float] = {}
    clear_model_dir(arguments.model_dir)

    with timed("prepare", seconds):
        dataset = find_dataset(arguments)
        broken = Broken(dataset.image_count)
        counts = " ".join(f"{split}_images={len(samples)}" for split, samples in dataset.splits.items())
        print(f"run_id={arguments.run_id} backbone={arguments.backbone} classes={len(dataset.classes)} {counts}")
        backbone = load_backbone(arguments.backbone, arguments.weights, arguments.image_size)
        preprocess = Preprocess(backbone.input)
        extractor = Network(backbone.module, nn.Identity(), backbone.input)
        graph = to_openvino(extractor, backbone.input.size)
        extract = runner(extractor, graph)

    with timed("features", seconds):
        (train_features,) = run_over(dataset.splits["train"], preprocess, [extract], broken, "train features")
        (valid_features,) = run_over(dataset.splits["valid"], preprocess, [extract], broken, "valid features")
        check_every_class(train_features, dataset.classes)

    with timed("head", seconds):
        head, history = train_head(train_features, valid_features, len(dataset.classes), arguments)

    with timed("export", seconds):
        classifier = with_head(graph, head)
        candidates = float_candidates(classifier)
        if arguments.calibration_images:
            images = dataset.splits["train"]
            candidates["int8"] = quantize(classifier, images, preprocess, broken, arguments.calibration_images)
        evidence = compare(candidates, dataset.splits["valid"], preprocess, broken)
        precision = choose_precision(evidence)
        write_network(Network(backbone.module, head, backbone.input), candidates[precision.chosen], arguments.model_dir)
        manifest = Manifest(
            run_id=arguments.run_id,
            backbone=backbone.name,
            classes=dataset.classes,
            input=backbone.input,
            temperature=fit_temperature(evidence[precision.chosen].validation),
            precision=precision,
            metrics={"valid_top1": precision.validation_top1[precision.chosen]},
            files={},
        )
        seal(arguments.model_dir, manifest)

    with timed("test", seconds):
        model = model_fn(arguments.model_dir)
        (logits,) = run_over(dataset.splits["test"], model.preprocess, [model.engine], broken, "test, exported")
        test = evaluate(logits, manifest.temperature)
        metrics = {
            **manifest.metrics,
            "test_top1": round(test.top1, 6),
            "test_top5": round(test.top5, 6),
            "test_ece": round(test.calibration_error, 6),
            "test_ece_uncalibrated": round(evaluate(logits, temperature=1).calibration_error, 6),
        }
        # The artifact that was tested and the one that is served differ in nothing but these figures.
        manifest = replace(manifest, metrics=metrics)
        digest = seal(arguments.model_dir, manifest)

    with timed("report", seconds):
        facts = {
            "run_id": manifest.run_id,
            "digest": digest,
            "backbone": manifest.backbone,
            "classes": len(manifest.classes),
            "images": {split: len(samples) for split, samples in dataset.splits.items()},
            "skipped": [{"file": f"{p.parent.name}/{p.name}", "reason": why} for p, why in broken.files.items()],
            **metrics,
            "temperature": manifest.temperature,
            "precision": asdict(precision),
            "arguments": {name: value for name, value in vars(arguments).items() if not isinstance(value, Path)},
            "seconds": seconds,
        }
        write_report(arguments.output_dir, facts, history, dataset.classes, test.confusion)
    if broken.files:
        print(f"skipped_images={len(broken.files)} (listed in metrics.json)")
    print(f"precision={precision.chosen} temperature={manifest.temperature:.4f} ({precision.why})")
    # Last, so that the job's final metrics are those of the model that is served, not of its last epoch.
    print(" ".join(f"{name}={value:.4f}" for name, value in metrics.items()))


def train_head(
    train: Outputs, valid: Outputs, classes: int, arguments: argparse.Namespace
) -> tuple[nn.Linear, list[dict[str, float]]]:
    """Train a linear classifier on standardised features, and keep the epoch with the lowest validation loss.

    The loss chooses because on a few hundred images accuracy moves by luck from one epoch to the next.

    Prints and returns one record per epoch: `train_loss` is the mean over the images of the loss that is minimised
    (with label smoothing), `valid_loss` the plain cross-entropy, `valid_top1` the share from 0 to 1.
    """
    mean, std = train.values.mean(dim=0), train.values.std(dim=0)
    # A feature that hardly ever fires in training has next to no deviation; divided by that, one image in which it
    # does fire would outvote all others.
    std = std.clamp(min=STD_FLOOR * float(std.mean()))
    inputs, valid_inputs = (train.values - mean) / std, (valid.values - mean) / std
    head = nn.Linear(inputs.shape[1], classes)
    # From zero every class is equally likely, and the first steps are not spent on undoing a random start.
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.AdamW(head.parameters(), lr=arguments.learning_rate, weight_decay=arguments.weight_decay)
    steps = arguments.epochs * -(-len(inputs) // arguments.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best_loss, best_state = math.inf, copy.deepcopy(head.state_dict())
    history: list[dict[str, float]] = []
    for epoch in range(1, arguments.epochs + 1):
        loss_sum = 0.0
        for batch in torch.split(torch.randperm(len(inputs)), arguments.batch_size):
            loss = cross_entropy(head(inputs[batch]), train.labels[batch], label_smoothing=arguments.label_smoothing)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            loss_sum += loss.item() * len(batch)
        with torch.no_grad():
            logits = head(valid_inputs)
        valid_loss = cross_entropy(logits, valid.labels).item()
        if not math.isfinite(valid_loss):
            raise TrainingError(f"The loss is {valid_loss} after epoch {epoch}: lower --learning-rate.")
        valid_top1 = (logits.argmax(dim=1) == valid.labels).float().mean().item()
        record = {
            "epoch": epoch,
            "train_loss": loss_sum / len(inputs),
            "valid_loss": valid_loss,
            "valid_top1": valid_top1,
        }
        history.append(record)
        # One string per line: SageMaker's toolkit re-chunks what a script prints, and metrics are read by line.
        print(" ".join(f"{k}={v}" if k == "epoch" else f"{k}={v:.4f}" for k, v in record.items()), flush=True)
        if valid_loss < best_loss:
            best_loss, best_state = valid_loss, copy.deepcopy(head.state_dict())
    head.load_state_dict(best_state)
    return fold_standardisation(head, mean, std), history


def find_dataset(arguments: argparse.Namespace) -> Dataset:
    """The data set of --data, else of the folders of the splits. Raises DataError."""
    if arguments.data:
        return read_dataset(find_splits(arguments.data))
    folders = {split: Path(vars(arguments)[split]) for split in SPLITS if vars(arguments)[split]}
    if "train" not in folders:
        raise DataError("There is no data: give --data FOLDER, or a channel named train.")
    for split, folder in folders.items():
        if not folder.is_dir():
            raise DataError(f"There is no folder {folder} for the split {split}.")
    return read_dataset(folders)


def check_every_class(train: Outputs, classes: Sequence[str]) -> None:
    """Raise DataError when a class lost all its training images to broken files."""
    counts = torch.bincount(train.labels, minlength=len(classes))
    if int(counts.min()) == 0:
        name = classes[int(counts.argmin())]
        raise DataError(f"None of the training images of the class {name} can be decoded: replace them.")


@contextmanager
def timed(phase: str, seconds: dict[str, float]) -> Iterator[None]:
    """Record the wall time of a phase."""
    started = time.perf_counter()
    yield
    seconds[phase] = round(time.perf_counter() - started, 2)
    print(f"phase={phase} seconds={seconds[phase]}", flush=True)


def positive(kind: type) -> Any:
    """An argparse type: a number above zero. (nan is not above zero.)"""

    def parse(text: str) -> float:
        value: float = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above zero")
        return value

    return parse


def not_negative(text: str) -> int:
    """An argparse type: a whole number from zero on."""
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text} is below zero")
    return value


def report_failure(sentence: str) -> None:
    """Say why the run ends, and leave it where SageMaker looks for a job's FailureReason.

    The toolkits write that file themselves, with the command line and the end of the log, unless there is one.
    """
    print(sentence, file=sys.stderr, flush=True)
    if output := os.environ.get("SM_OUTPUT_DIR"):
        (Path(output) / "failure").write_text(sentence)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train. A failure that has a name ends in one sentence and status 1; another is a bug and shows its traceback."""
    try:
        train(parse_arguments(arguments))
    except TrainingError as error:
        report_failure(str(error))
        sys.exit(1)
    except OSError as error:
        report_failure(f"A file cannot be read or written: {error}.")
        sys.exit(1)


if __name__ == "__main__":
    main()

"""Train a dog-breed classifier: a linear head on the features of a pretrained backbone, and more only where it helps.

Three ways to run it:

    python -m training.train --data ~/dogImages --model-dir build/model --output-dir build/output

    python train.py --epochs 30          # as a SageMaker job: the toolkit sets SM_CHANNEL_TRAIN, SM_MODEL_DIR, …

    SM_CHANNEL_TRAIN=… SM_CHANNEL_VALID=… SM_CHANNEL_TEST=… SM_MODEL_DIR=… SM_OUTPUT_DATA_DIR=… python train.py
                                         # on any machine that sets the same names (EC2 user-data)

Each image is decoded once and passes the backbone once; the head then trains on the cached features in seconds. With
--fine-tune-epochs the backbone's last blocks go on learning behind it, and stay so if validation is the better for it.
The test split is looked at once, at the end, through the exported artifact; with `--test none` not at all. A run that
was killed goes on from its checkpoints when the same command is given again, and ends in the same weights.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from inference.artifact import Manifest, seal
from inference.inference import model_fn
from inference.preprocess import Preprocess
from training.arguments import parse_arguments
from training.backbone import load_backbone
from training.checkpoint import (
    Checkpoints,
    Clock,
    StopSignal,
    flatten_optimizer,
    restore_optimizer,
    stop_signal,
    with_prefix,
    without_prefix,
)
from training.data import SPLITS, Broken, check_every_class, find_dataset
from training.errors import HostGone, Stopped, TrainingError
from training.evaluation import evaluate, fit_temperature
from training.export import check_model_dir, write_network
from training.features import compute_features
from training.fine_tune import fine_tuning, finished, tuned_network
from training.hosts import Hosts, join_hosts, together
from training.images import Files, decode_once
from training.linear_probe import layer_from_rows, linear_probe, read_class_rows
from training.network import Network, run_over, runner, to_openvino, with_head
from training.precision import choose_precision, compare, float_candidates, quantize
from training.record import describe_run, features_key, training_key, write_run
from training.report import Tested, write_report
from training.run_folders import reserve
from training.stage import Stage

STOPPED_STATUS = 128 + 15  # what a shell reports of a process that SIGTERM ended
LAST_WORDS_SECONDS = 15  # a job fails with the reason of its first host: let that be the one that has a reason


def train(arguments: argparse.Namespace, hosts: Hosts, stop: StopSignal) -> None:
    """The whole run. Raises TrainingError, or OSError when a result cannot be written."""
    clock = Clock(stop)
    with clock.phase("prepare"):
        if hosts.leads:
            check_model_dir(arguments.model_dir)
        class_rows = read_class_rows(arguments.class_rows)
        dataset = find_dataset(arguments.data, {split: vars(arguments)[split] for split in SPLITS})
        broken = Broken(dataset.image_count)
        counts = " ".join(f"{split}_images={len(samples)}" for split, samples in dataset.splits.items())
        print(f"run_id={arguments.run_id} backbone={arguments.backbone} classes={len(dataset.classes)} {counts}")
        backbone = load_backbone(arguments.backbone, arguments.weights, arguments.image_size)
        run = describe_run(arguments, class_rows, dataset, backbone)
        if hosts.leads:
            write_run(arguments.output_dir, run)
        extractor = Network(backbone.module, nn.Identity(), backbone.input)
        graph = to_openvino(extractor, backbone.input.size)

    with clock.phase("features"):
        preprocess = Preprocess(backbone.input)
        files = {split: Files(samples, preprocess, broken) for split, samples in dataset.splits.items()}
        pixels = {split: decode_once(files[split]) for split in needed_again(arguments, hosts)}
        cache = Checkpoints(arguments.checkpoint_dir / "features", features_key(run))
        extract = runner(extractor, graph)
        train_features, valid_features = (
            compute_features(pixels.get(split, files[split]), extract, cache, broken, split, stop, hosts)
            for split in ("train", "valid")
        )
        check_every_class(train_features.labels, dataset.classes)
        del extract  # an engine keeps the memory of its largest batch

    with clock.phase("head"):
        checkpoints = Checkpoints(arguments.checkpoint_dir / "training", training_key(run))
        start = layer_from_rows(backbone.classifier, class_rows, dataset.classes)
        probe = linear_probe(train_features, valid_features, start, arguments, hosts)
        histories = {"head": fit(probe.stage, arguments, checkpoints, hosts, stop)}
        stages = {"head": probe.stage.calibrated()}
        module, head, kept = backbone.module, probe.head(), "head"

    if arguments.fine_tune_epochs:
        with clock.phase("fine_tuning"):
            tuned = tuned_network(backbone, head, arguments.fine_tune_blocks)
            stage = fine_tuning(tuned, pixels["train"], pixels["valid"], arguments, hosts)
            histories["fine_tuning"] = fit(stage, arguments, checkpoints, hosts, stop)
            stages["fine_tuning"] = stage.calibrated()
            if stages["fine_tuning"]["valid_loss"] < stages["head"]["valid_loss"]:
                (module, head), kept = finished(tuned), "fine_tuning"
                graph = to_openvino(Network(module, nn.Identity(), backbone.input), backbone.input.size)

    if not hosts.leads:
        hosts.wait()
        return

    with clock.phase("export"):
        classifier = with_head(graph, head)
        candidates = float_candidates(classifier)
        if arguments.calibration_images:
            candidates["int8"] = quantize(classifier, files["train"], arguments.calibration_images)
        evidence = compare(candidates, pixels["valid"], backbone.input.size)
        precision = choose_precision(evidence)
        network = Network(module, head, backbone.input)
        write_network(network, candidates[precision.chosen], arguments.model_dir)
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

    if not dataset.splits["test"]:  # a trial of a search: judged by validation, of which alone it may know
        hosts.wait()
        # Of the weights as they were trained: which precision is served is decided by timing, too.
        print(f"valid_loss={stages[kept]['valid_loss']:.4f} valid_top1={stages[kept]['valid_top1']:.4f}")
        return

    with clock.phase("test"):
        model = model_fn(arguments.model_dir)
        test_files = Files(dataset.splits["test"], model.preprocess, broken)
        (logits,) = run_over(test_files, [model.engine], "test, exported")
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

    with clock.phase("report"):
        facts = {
            "run_id": manifest.run_id,
            "digest": digest,
            "backbone": manifest.backbone,
            "classes": len(manifest.classes),
            "images": {split: len(samples) for split, samples in dataset.splits.items()},
            "data": dataset.findings(broken),
            **metrics,
            "temperature": manifest.temperature,
            "precision": asdict(precision),
            "stages": stages,
            "kept": kept,
            **{name: run[name] for name in ("arguments", "code_sha256", "backbone_sha256", "versions")},
            "seconds": clock.seconds,
        }
        paths = [test_files.samples[position].path for position in logits.positions]
        write_report(
            arguments.output_dir, facts, histories, Tested(logits, manifest.temperature, dataset.classes, paths)
        )
    hosts.wait()
    if broken.files:
        print(f"skipped_images={len(broken.files)} (listed in metrics.json)")
    print(f"precision={precision.chosen} temperature={manifest.temperature:.4f} ({precision.why})")
    # Last, so that the job's final metrics are those of the model that is served, not of its last epoch.
    print(" ".join(f"{name}={value:.4f}" for name, value in metrics.items()))


@dataclass
class Place:
    """How far a stage is: `step` batches of `epoch` are done, and their losses add up to `loss_sum`."""

    epoch: int = 1
    step: int = 0
    loss_sum: float = 0.0
    best_epoch: int = 0
    best_loss: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)


def fit(
    stage: Stage, arguments: argparse.Namespace, checkpoints: Checkpoints, hosts: Hosts, stop: StopSignal
) -> list[dict[str, float]]:
    """Train a stage, leave its module as it was after its best epoch, and return one record per epoch.

    The lowest validation loss is the best: on a few hundred images accuracy moves by luck from one epoch to the next.
    Training ends after the stage's epochs, or `patience` epochs without a better one. Each host computes its share of
    every batch, and all do the same step.

    Prints and returns for each epoch: `train_loss`, the mean over the images of the loss that is minimised (with label
    smoothing), `valid_loss`, the plain cross-entropy, and `valid_top1`, a share from 0 to 1.

    Raises:
        TrainingError: the loss is no finite number any more; names the step.
        Stopped: SIGTERM came; the checkpoint is saved.
    """
    module, images = stage.module, len(stage.train_labels)
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=stage.learning_rate, weight_decay=arguments.weight_decay)
    steps_per_epoch = -(-images // stage.batch_size)
    torch.manual_seed(arguments.seed)
    place, best, order_state, state = Place(), stage.copy_of_state(), torch.get_rng_state(), torch.get_rng_state()
    if saved := checkpoints.load(stage.name):
        tensors, facts = saved
        place, best = Place(**facts), without_prefix("best.", tensors)
        order_state, state = tensors["order_state"], tensors["state"]
        module.load_state_dict(without_prefix("module.", tensors))
        restore_optimizer(optimizer, tensors)
        print(f"stage={stage.name} goes on from its checkpoint: epoch {place.epoch}, step {place.step}", flush=True)

    hosts.wait()  # none may save before all have loaded

    def save() -> None:
        if not hosts.leads:
            return
        tensors = {"order_state": order_state, "state": torch.get_rng_state(), **flatten_optimizer(optimizer)}
        tensors |= with_prefix("module.", module.state_dict()) | with_prefix("best.", best)
        checkpoints.save(stage.name, tensors, asdict(place))

    saved_at = time.monotonic()
    while place.epoch <= stage.epochs and place.epoch - place.best_epoch <= arguments.patience:
        # The same state of the random numbers draws the same order, also when the epoch goes on after a restart.
        torch.set_rng_state(order_state)
        batches = torch.split(torch.randperm(images), stage.batch_size)
        if place.step:
            torch.set_rng_state(state)
        module.train()
        for rows in batches[place.step :]:
            done = ((place.epoch - 1) * steps_per_epoch + place.step) / (stage.epochs * steps_per_epoch)
            for group in optimizer.param_groups:
                group["lr"] = stage.learning_rate * (1 + math.cos(math.pi * done)) / 2
            mine = hosts.share(rows)
            optimizer.zero_grad()
            with together():
                loss_sum = cross_entropy(
                    stage.train_logits(mine),
                    stage.train_labels[mine],
                    label_smoothing=arguments.label_smoothing,
                    reduction="sum",
                )
                # The hosts' gradients are averaged, which makes this the mean over all rows of the batch.
                (loss_sum * hosts.count / len(rows)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            batch_loss, stopped = hosts.add_up(torch.tensor([loss_sum.item(), stop.received], dtype=torch.float64))
            place.loss_sum += batch_loss.item()
            place.step += 1
            stop.received = bool(stopped)
            if not math.isfinite(place.loss_sum):
                raise TrainingError(keep_last_good(stage, place, best, checkpoints))
            if stop.received or time.monotonic() - saved_at >= arguments.checkpoint_seconds:
                save()
                stop.check()
                saved_at = time.monotonic()
        record = {"epoch": place.epoch, "train_loss": place.loss_sum / images, **stage.validate()}
        if not math.isfinite(record["valid_loss"]):
            raise TrainingError(keep_last_good(stage, place, best, checkpoints))
        place.history.append(record)
        # One string per line: SageMaker's toolkit re-chunks what a script prints, and metrics are read by line.
        if hosts.leads:
            print(" ".join(f"{k}={v}" if k == "epoch" else f"{k}={v:.4f}" for k, v in record.items()), flush=True)
        if record["valid_loss"] < place.best_loss:
            place.best_epoch, place.best_loss, best = place.epoch, record["valid_loss"], stage.copy_of_state()
        place.epoch, place.step, place.loss_sum = place.epoch + 1, 0, 0.0
        order_state = torch.get_rng_state()
    save()
    module.load_state_dict(best)
    return place.history


def keep_last_good(stage: Stage, place: Place, best: dict[str, torch.Tensor], checkpoints: Checkpoints) -> str:
    """Save the weights of the best epoch before the loss became infinite or no number, and say so."""
    name = f"{stage.name}-last-good"
    checkpoints.save(name, best, asdict(place))
    return (
        f"The loss of the stage {stage.name} is no finite number any more at step {place.step} of epoch {place.epoch}: "
        f"lower --learning-rate. The weights of epoch {place.best_epoch} are kept in {checkpoints.directory / name}."
    )


def needed_again(arguments: argparse.Namespace, hosts: Hosts) -> Sequence[str]:
    """The splits whose pixels a later stage needs: fine-tuning on all hosts, the comparison of precisions on one."""
    if arguments.fine_tune_epochs:
        return "train", "valid"
    return ("valid",) if hosts.leads else ()


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
        parsed = parse_arguments(arguments)
        places = (parsed.checkpoint_dir, parsed.model_dir, parsed.output_dir)
        with stop_signal() as stop, join_hosts() as hosts, reserve(places if hosts.leads else ()):
            train(parsed, hosts, stop)
    except Stopped as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(STOPPED_STATUS)
    except TrainingError as error:
        if isinstance(error, HostGone):
            time.sleep(LAST_WORDS_SECONDS)
        report_failure(str(error))
        sys.exit(1)
    except OSError as error:
        report_failure(f"A file cannot be read or written: {error}.")
        sys.exit(1)


if __name__ == "__main__":
    main()

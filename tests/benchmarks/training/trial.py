"""What a search pays for one more trial once the features are in memory: the training of a head.

    python -m tests.benchmarks.training.trial DATA

Prints `trial_seconds=` a few times; the features, which all trials of a search share, are not in it.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.training.runs import print_record

TRIALS = 3


def prepare_trial(command_line: Sequence[str]) -> Callable[[], object]:
    """Compute the features as `training.train` does with these arguments, and return what trains one head on them."""
    from torch import nn

    from inference.preprocess import Preprocess
    from training.arguments import parse_arguments
    from training.backbone import load_backbone
    from training.checkpoint import Checkpoints, StopSignal
    from training.data import Broken, find_dataset
    from training.hosts import Hosts
    from training.images import Files
    from training.linear_probe import linear_probe
    from training.network import Network, run_over, runner, to_openvino
    from training.train import fit

    arguments = parse_arguments(command_line)
    dataset = find_dataset(arguments.data, {})
    backbone = load_backbone(arguments.backbone, arguments.weights, arguments.image_size)
    extractor = Network(backbone.module, nn.Identity(), backbone.input)
    extract = runner(extractor, to_openvino(extractor, backbone.input.size))
    preprocess, broken = Preprocess(backbone.input), Broken(dataset.image_count)
    train, valid = (
        run_over(Files(dataset.splits[split], preprocess, broken), [extract], f"{split} features")[0]
        for split in ("train", "valid")
    )

    def trial() -> nn.Linear:
        probe = linear_probe(train, valid, None, arguments, Hosts())
        # Fresh, or a second trial would go on from the end of the first.
        with TemporaryDirectory() as folder:
            fit(probe.stage, arguments, Checkpoints(Path(folder), "trial"), Hosts(), StopSignal())
        return probe.head()

    return trial


def main() -> None:
    trial = prepare_trial(["--data", sys.argv[1]])
    for _ in range(TRIALS):
        started = time.perf_counter()
        trial()
        print_record({"trial_seconds": time.perf_counter() - started})


if __name__ == "__main__":
    main()

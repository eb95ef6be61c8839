"""Make what is served: an artifact per backbone, and the same weights as the seed would hold them.

    python -m tests.benchmarks.serving.artifacts build/bench/serving [DATA]

Without DATA, a folder of photographs as training takes it, the drawn breeds stand in. `OUT/<backbone>/ours` and
`…/seed` are shaped like /opt/ml. OUT/made.json says what there is to measure: the images to send, and by backbone the
test images and what the fp32 PyTorch network makes of them.
"""

import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from inference.artifact import MANIFEST_NAME, WEIGHTS_NAME, InputSpec, read_artifact
from inference.preprocess import Preprocess
from training.data import SPLITS, Broken, Dataset, Sample, find_splits, read_batches, read_dataset
from training.drawn_breeds import draw_breeds
from training.errors import TrainingError
from training.network import Network
from training.train import main as train

HERE = Path(__file__).parent
IMAGES_TO_SEND = 24
LITE0, RESNET50 = "tf_efficientnet_lite0", "resnet50"
# How many images of a class the ResNet's head learns from, by split: its random features are not worth more.
RESNET_IMAGES = {"train": 4, "valid": 1000, "test": 1}


def make(out: Path, data: Path | None) -> None:
    """All of it, in place of what was there. Raises TrainingError."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    photographs = "those in DATA"
    if data is None:
        photographs = "drawn breeds, since no DATA was given"
        data = out / "drawn"
        draw_breeds(data)
    dataset = read_dataset(find_splits(data))
    weights = out / "resnet50.safetensors"
    save_file(random_resnet50(dataset), weights)
    link_subset(dataset, out / "subset")
    training = {
        LITE0: ["--data", str(data), "--backbone", LITE0],
        RESNET50: [
            *("--data", str(out / "subset"), "--backbone", "resnet50.tv2_in1k", "--weights", str(weights)),
            *("--image-size", "224"),
        ],
    }
    references = {}
    for name, arguments in training.items():
        model_dir = out / name / "ours" / "model"
        places = ["--model-dir", str(model_dir), "--output-dir", str(out / name / "report")]
        train([*arguments, *places, "--run-id", name.replace("_", "-")])
        write_seed(model_dir, out / name / "seed" / "model")
        references[name] = reference(model_dir, dataset)
    to_send = [str(sample.path.resolve()) for sample in spread(dataset.splits["test"], IMAGES_TO_SEND)]
    made = {"photographs": photographs, "send": to_send, "references": references}
    (out / "made.json").write_text(json.dumps(made))


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """At most `count` of them, evenly over the classes."""
    step = max(1, len(samples) // count)
    return list(samples[::step])[:count]


def random_resnet50(dataset: Dataset) -> dict[str, torch.Tensor]:
    """A ResNet50 that knows nothing, but whose activations have the ranges of a trained one.

    int8 is calibrated on those ranges: they come from BatchNorm, so its statistics are taken from photographs.
    """
    torch.manual_seed(0)
    # timm starts each block's last BatchNorm at zero, which would leave most of the network without effect.
    module = timm.create_model("resnet50", pretrained=False, zero_init_last=False)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the plain average of the batches, without the start values in it
    config = vars(module)["pretrained_cfg"]
    spec = InputSpec(224, 224, "bilinear", tuple(config["mean"]), tuple(config["std"]))
    network = Network(module, nn.Identity(), spec).train()
    samples = spread(dataset.splits["train"], 64)
    with torch.no_grad():
        for images, _ in read_batches(samples, Preprocess(spec), Broken(len(samples)), "ranges"):
            network(torch.from_numpy(images))
    return module.state_dict()


def link_subset(dataset: Dataset, folder: Path) -> None:
    """The first few images of every class, as links."""
    taken: defaultdict[tuple[str, int], int] = defaultdict(int)
    for split in SPLITS:
        for sample in dataset.splits[split]:
            if taken[split, sample.label] == RESNET_IMAGES[split]:
                continue
            taken[split, sample.label] += 1
            class_folder = folder / split / dataset.classes[sample.label]
            class_folder.mkdir(parents=True, exist_ok=True)
            (class_folder / sample.path.name).symlink_to(sample.path.resolve())


def write_seed(ours: Path, seed: Path) -> None:
    """The seed's model directory: the same weights, and its script as AWS's toolkit expects it."""
    (seed / "code").mkdir(parents=True)
    for name in (WEIGHTS_NAME, MANIFEST_NAME):
        shutil.copyfile(ours / name, seed / name)
    shutil.copyfile(HERE / "seed_inference.py", seed / "code" / "inference.py")


def reference(model_dir: Path, dataset: Dataset) -> dict[str, Any]:
    """What the artifact's own weights get right in PyTorch and fp32: `top1` (0 to 1), and the (file, class) seen."""
    manifest = read_artifact(model_dir).manifest
    backbone: Any = timm.create_model(manifest.backbone, pretrained=False, num_classes=0)
    network = Network(backbone, nn.Linear(backbone.num_features, len(manifest.classes)), manifest.input)
    network.load_state_dict(load_file(model_dir / WEIGHTS_NAME))
    network.eval().to(memory_format=torch.channels_last)
    samples = dataset.splits["test"]
    broken = Broken(len(samples))
    right = 0
    with torch.no_grad():
        for images, labels in read_batches(samples, Preprocess(manifest.input), broken, "fp32 reference"):
            right += int((network(torch.from_numpy(images)).argmax(dim=1).numpy() == labels).sum())
    intact = [sample for sample in samples if sample.path not in broken.files]
    return {
        "top1": right / len(intact),
        "test": [(str(sample.path.resolve()), dataset.classes[sample.label]) for sample in intact],
    }


if __name__ == "__main__":
    try:
        make(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    except TrainingError as error:
        sys.exit(str(error))

"""Make what is served: an artifact per backbone, and the same weights as the seed would hold them.

    python -m tests.benchmarks.serving.artifacts build/bench/serving [DATA]

Without DATA, a folder of photographs as training takes it, the drawn breeds stand in. `OUT/<backbone>/ours` and
`…/seed` are shaped like /opt/ml. OUT/made.json says what there is to measure: the images to send, and by backbone the
test images and what the fp32 PyTorch network makes of them.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.models.resnet import Bottleneck
from torch import nn

from inference.artifact import MANIFEST_NAME, WEIGHTS_NAME, InputSpec, read_artifact
from inference.preprocess import ImageError, Preprocess, decode
from local_aws.drawn_breeds import draw_breeds
from training.data import SPLITS, Broken, Dataset, Sample, find_splits, read_dataset
from training.errors import TrainingError
from training.images import Files
from training.network import Network
from training.train import main as train

HERE = Path(__file__).parent
IMAGES_TO_SEND = 24
LITE0, RESNET50 = "tf_efficientnet_lite0", "resnet50"
MOSAICS = 354  # of each kind, in each split: as many as it takes to be sure that int8 loses next to nothing


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
    write_mosaics(dataset, out / "mosaics")
    resnet50 = ["--backbone", "resnet50.tv2_in1k", "--weights", str(weights), "--image-size", "224"]
    made = {
        LITE0: make_artifact(out, LITE0, data, ["--backbone", LITE0]),
        RESNET50: make_artifact(out, RESNET50, out / "mosaics", [*resnet50, "--learning-rate", "0.003"]),
    }
    to_send = [str(sample.path.resolve()) for sample in spread(dataset.splits["test"], IMAGES_TO_SEND)]
    (out / "made.json").write_text(json.dumps({"photographs": photographs, "send": to_send, "references": made}))


def make_artifact(out: Path, name: str, data: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """Train on `data`, lay the seed's directory beside it, and return its `reference`. Raises TrainingError."""
    model_dir = out / name / "ours" / "model"
    places = ["--data", str(data), "--model-dir", str(model_dir), "--output-dir", str(out / name / "report")]
    train([*arguments, *places, "--run-id", name.replace("_", "-")])
    write_seed(model_dir, out / name / "seed" / "model")
    return reference(model_dir, read_dataset(find_splits(data)))


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """At most `count` of them, evenly over the classes."""
    step = max(1, len(samples) // count)
    return list(samples[::step])[:count]


def random_resnet50(dataset: Dataset) -> dict[str, torch.Tensor]:
    """A ResNet50 that has learnt nothing, but carries rounding errors no further than a trained one does.

    Else no cheaper precision would ever be chosen. BatchNorm has the statistics of photographs, and what a block adds
    to its input is small, as training makes it.
    """
    torch.manual_seed(0)
    module = timm.create_model("resnet50", pretrained=False)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the plain average of the batches, without the start values in it
        if isinstance(layer, Bottleneck):
            # timm starts at 0, where the block would have no effect at all.
            nn.init.constant_(layer.get_parameter("bn3.weight"), 0.2)
    config = vars(module)["pretrained_cfg"]
    spec = InputSpec(224, 224, "bilinear", tuple(config["mean"]), tuple(config["std"]))
    network = Network(module, nn.Identity(), spec).train()
    samples = spread(dataset.splits["train"], 64)
    with torch.no_grad():
        for images, _ in Files(samples, Preprocess(spec), Broken(len(samples))).batches(0, len(samples)):
            network(torch.from_numpy(images))
    return module.state_dict()


def write_mosaics(dataset: Dataset, folder: Path) -> None:
    """A task that even random features can do: tell some of the photographs from coarse mosaics of them.

    On the breeds a random ResNet is right by luck, and luck would decide which precision keeps its top-1.
    """
    for split in SPLITS:
        for kind in ("mosaic", "photograph"):
            (folder / split / kind).mkdir(parents=True)
        for number, sample in enumerate(spread(dataset.splits[split], MOSAICS)):
            with suppress(ImageError):
                photograph = decode(sample.path.read_bytes(), min_side=224).resize((224, 224))
                mosaic = photograph.resize((14, 14)).resize((224, 224), Image.Resampling.NEAREST)
                photograph.save(folder / split / "photograph" / f"{number:03}.jpg")
                mosaic.save(folder / split / "mosaic" / f"{number:03}.jpg")


def write_seed(ours: Path, seed: Path) -> None:
    """The seed's model directory: the same weights, and its script as AWS's toolkit expects it."""
    (seed / "code").mkdir(parents=True)
    for name in (WEIGHTS_NAME, MANIFEST_NAME):
        shutil.copyfile(ours / name, seed / name)
    shutil.copyfile(HERE / "seed_inference.py", seed / "code" / "inference.py")


def reference(model_dir: Path, dataset: Dataset) -> dict[str, Any]:
    """What the artifact's own weights get right in PyTorch and fp32: `top1` (0 to 1), and the (file, class) seen."""
    manifest = read_artifact(model_dir)
    backbone: Any = timm.create_model(manifest.backbone, pretrained=False, num_classes=0)
    network = Network(backbone, nn.Linear(backbone.num_features, len(manifest.classes)), manifest.input)
    network.load_state_dict(load_file(model_dir / WEIGHTS_NAME))
    network.eval().to(memory_format=torch.channels_last)
    samples = dataset.splits["test"]
    files = Files(samples, Preprocess(manifest.input), Broken(len(samples)))
    right = 0
    intact: list[Sample] = []
    with torch.no_grad():
        for images, positions in files.batches(0, len(samples)):
            batch = [samples[position] for position in positions]
            found = network(torch.from_numpy(images)).argmax(dim=1).tolist()
            right += sum(label == sample.label for label, sample in zip(found, batch, strict=True))
            intact += batch
    return {
        "top1": right / len(intact),
        "test": [(str(sample.path.resolve()), dataset.classes[sample.label]) for sample in intact],
    }


if __name__ == "__main__":
    try:
        make(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    except TrainingError as error:
        sys.exit(str(error))

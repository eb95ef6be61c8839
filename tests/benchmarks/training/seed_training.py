"""The seed's training loop, faults and all: that of `hpo.py`, the script of its course, which its README names.

    python -m tests.benchmarks.training.seed_training as-it-stands|normalised DATA EPOCHS

What is wrong in it, and stays so:

- Pixels are never normalised, though the backbone was trained on normalised ones.
- `model.train()` reaches the frozen backbone too: its BatchNorm normalises by the batch, and its statistics drift.
- The loss that it logs is a sum over images, divided by the number of batches and floored: it grows with the batch.
- Every epoch decodes every image and sends it through the backbone again, though the backbone never changes.
- It ends after its first epoch, whatever `epochs` says.

`normalised` mends the first two, and goes on until the validation accuracy falls.

Not the seed's: the backbone (ours, so that both sides have the same weights; the seed's is a ResNet50), the number of
classes (the data's, not 133), correct means beside the floored ones, and a look at the test split after every epoch,
whose time is printed so that it can be left out. `hpo.py` has no batch size and learning rate of its own, it leaves
them to a search; these are usual ones.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from tests.benchmarks.training.runs import print_record
from training.backbone import Backbone, load_backbone

AS_IT_STANDS, NORMALISED = "as-it-stands", "normalised"
BACKBONE = "tf_efficientnet_lite0"
BATCH_SIZE = 64
LEARNING_RATE = 1e-3
HIDDEN_UNITS = 128

Loaders = Mapping[str, DataLoader[tuple[Tensor, Tensor]]]


def make_network(backbone: Backbone, classes: int) -> nn.Sequential:
    """The frozen backbone and the seed's head of two layers: `network[0]` and `network[1]`."""
    features: Any = backbone.module
    head = nn.Sequential(
        nn.Linear(features.num_features, HIDDEN_UNITS), nn.ReLU(inplace=True), nn.Linear(HIDDEN_UNITS, classes)
    )
    return nn.Sequential(backbone.module, head)


def make_loaders(data: Path, backbone: Backbone, variant: str) -> Loaders:
    """Loaders of train, valid and test, which decode in the process that trains. Raises FileNotFoundError."""
    normalise: list[Callable[[Tensor], Tensor]] = []
    if variant == NORMALISED:
        normalise = [transforms.Normalize(backbone.input.mean, backbone.input.std)]
    # 224 pixels are the seed's, in both.
    for_training = [transforms.RandomResizedCrop((224, 224)), transforms.RandomHorizontalFlip()]
    for_evaluation = [transforms.Resize((224, 224))]
    return {
        split: DataLoader(
            ImageFolder(data / split, transforms.Compose([*geometry, transforms.ToTensor(), *normalise])),
            batch_size=BATCH_SIZE,
            shuffle=True,
        )
        for split, geometry in {"train": for_training, "valid": for_evaluation, "test": for_evaluation}.items()
    }


def train(network: nn.Sequential, loaders: Loaders, variant: str, epochs: int) -> Iterator[dict[str, float]]:
    """Yield a record per epoch: see `run_epoch`. As it stands there is one."""
    optimizer = optim.Adam(network[1].parameters(), lr=LEARNING_RATE)
    top1_before = 0.0
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        record = run_epoch(network, loaders, optimizer, variant)
        yield {"epoch": epoch, "epoch_seconds": time.perf_counter() - started, **record}
        if variant == AS_IT_STANDS or record["valid_top1"] < top1_before:
            break
        top1_before = record["valid_top1"]


def run_epoch(network: nn.Sequential, loaders: Loaders, optimizer: optim.Optimizer, variant: str) -> dict[str, float]:
    """One pass over train and one over valid.

    Of each, `<phase>_loss` is the mean over the images, `<phase>_loss_logged` what the seed logs, `<phase>_top1` the
    share from 0 to 1.
    """
    criterion = nn.CrossEntropyLoss()
    record = {}
    for phase in ("train", "valid"):
        network.train(phase == "train")
        if variant == NORMALISED:
            network[0].eval()
        running_loss, running_corrects, images = 0.0, 0, 0
        # The seed validates without torch.no_grad(), too.
        for inputs, labels in loaders[phase]:
            outputs = network(inputs)
            loss = criterion(outputs, labels)
            if phase == "train":
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            running_loss += loss.item() * inputs.size(0)
            running_corrects += int(torch.sum(outputs.argmax(dim=1) == labels))
            images += len(labels)
        record[f"{phase}_loss"] = running_loss / images
        record[f"{phase}_loss_logged"] = running_loss // len(loaders[phase])
        record[f"{phase}_top1"] = running_corrects / images
    return record


def top1(network: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]]) -> float:
    """The share, from 0 to 1, that the network gets right."""
    network.eval()
    right = images = 0
    with torch.no_grad():
        for inputs, labels in loader:
            right += int(torch.sum(network(inputs).argmax(dim=1) == labels))
            images += len(labels)
    return right / images


def main() -> None:
    variant, data, epochs = sys.argv[1:]
    torch.manual_seed(0)
    backbone = load_backbone(BACKBONE, None, None)
    loaders = make_loaders(Path(data), backbone, variant)
    train_images, valid_images = (cast(ImageFolder, loaders[phase].dataset) for phase in ("train", "valid"))
    network = make_network(backbone, len(train_images.classes))
    print_record({"images_per_epoch": len(train_images) + len(valid_images)})
    for record in train(network, loaders, variant, int(epochs)):
        print_record(record)
        started, cpu_started = time.perf_counter(), time.process_time()
        found = top1(network, loaders["test"])
        print_record(
            {
                "test_top1": found,
                "test_seconds": time.perf_counter() - started,
                "test_cpu_seconds": time.process_time() - cpu_started,
            }
        )


if __name__ == "__main__":
    main()

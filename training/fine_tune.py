"""Fine-tuning: the last blocks of the backbone, or all, go on learning behind the trained head."""

import argparse
import copy
from typing import Any

import torch
from timm.models import group_parameters
from torch import Tensor, nn
from torchvision.transforms import v2

from inference.engine import cpu_precisions
from training.backbone import Backbone
from training.hosts import Hosts
from training.images import BATCH_SIZE, Pixels
from training.network import Network
from training.stage import Stage

SMALLEST_CROP = 0.5  # as a share of the image's area


class TunedNetwork(Network):
    """A network of which the last parts learn while the others stay as in evaluation, and every BatchNorm with them.

    Its statistics are those of millions of images. A batch of 32 has others: with them the loss of a good head jumps
    to many times what it was, in the parts that learn, too.
    """

    head: nn.Linear

    def train(self, mode: bool = True) -> "TunedNetwork":
        super().train(mode)
        for module in self.modules():
            learns = [parameter.requires_grad for parameter in module.parameters()]
            if isinstance(module, nn.BatchNorm2d) or (learns and not any(learns)):
                module.eval()
        return self


def tuned_network(backbone: Backbone, head: nn.Linear, blocks: int) -> TunedNetwork:
    """A copy of backbone and head in which the head and the last `blocks` learn; of more than there are: all."""
    tuned = TunedNetwork(copy.deepcopy(backbone.module), copy.deepcopy(head), backbone.input)
    network: Any = tuned.backbone  # timm's kind of module
    groups = group_parameters(network, network.group_matcher(coarse=True))
    learning = {name for number in sorted(groups)[-blocks:] for name in groups[number]}
    for name, parameter in tuned.backbone.named_parameters():
        parameter.requires_grad_(name in learning)
    tuned.head.requires_grad_(True)
    return tuned.to(device()).to(memory_format=torch.channels_last)


def fine_tuning(
    network: TunedNetwork, train: Pixels, valid: Pixels, arguments: argparse.Namespace, hosts: Hosts
) -> Stage:
    """The stage that trains a network on pixels, with random crops and flips, in bf16 where the hardware has it."""
    crop = v2.Compose(
        [
            v2.RandomResizedCrop(network.spec.size, scale=(SMALLEST_CROP, 1), antialias=True),
            v2.RandomHorizontalFlip(),
        ]
    )
    bf16 = torch.cuda.is_available() or "bf16" in cpu_precisions()

    parallel = hosts.parallel(network)

    def run(module: nn.Module, pixels: Tensor) -> Tensor:
        with torch.autocast(device(), torch.bfloat16, enabled=bf16):
            logits: Tensor = module(pixels.to(device()))
        return logits.float().cpu()

    def train_logits(rows: Tensor) -> Tensor:
        images = torch.from_numpy(train.take(rows.numpy())).permute(0, 3, 1, 2)
        if len(images):  # a host may have none of the last few
            images = torch.stack([crop(image) for image in images])
        return run(parallel, images.permute(0, 2, 3, 1))

    def valid_logits() -> Tensor:
        rows = hosts.share(torch.arange(len(valid.labels)))
        batches = [run(network, torch.from_numpy(valid.take(part.numpy()))) for part in torch.split(rows, BATCH_SIZE)]
        return hosts.gather(torch.cat(batches))[hosts.gather(rows).argsort()]

    return Stage(
        name="fine_tuning",
        module=network,
        train_logits=train_logits,
        valid_logits=valid_logits,
        train_labels=torch.from_numpy(train.labels),
        valid_labels=torch.from_numpy(valid.labels),
        epochs=arguments.fine_tune_epochs,
        batch_size=arguments.fine_tune_batch_size,
        learning_rate=arguments.fine_tune_learning_rate,
    )


def device() -> str:
    """Where the network learns."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def finished(network: TunedNetwork) -> tuple[nn.Module, nn.Linear]:
    """Backbone and head as they are exported: frozen, on the CPU, in the layout that they came in."""
    network.eval().requires_grad_(False).cpu().to(memory_format=torch.contiguous_format)
    return network.backbone, network.head

"""The network: normalisation, backbone and head in one module, and the ways to run it over many images."""

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray
from openvino import opset13 as ops
from torch import Tensor, nn

from inference.artifact import InputSpec
from inference.engine import Engine, cpu_precisions
from training.images import Images, none_left
from training.progress import Bar, bar

Runner = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Images uint8 [n, size, size, 3] in, rows float32 [n, outputs] out."""


class Network(nn.Module):
    """uint8 pixels [n, size, size, 3] in, the head's outputs [n, outputs] out.

    Normalisation is inside, so that whoever serves the network sends pixels and cannot get it wrong.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, head: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.spec = spec
        self.register_buffer("mean", 255 * torch.tensor(spec.mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(spec.std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        normalised = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
        outputs: Tensor = self.head(self.backbone(normalised))
        return outputs


@dataclass(frozen=True)
class Outputs:
    """What a network answers for one split: values float32 [n, d] (features or logits), and labels int64 [n].

    `positions` int64 [n] tell which of the split's samples they are of, since broken ones have none.
    """

    values: Tensor
    labels: Tensor
    positions: Tensor


def to_openvino(network: nn.Module, size: int) -> ov.Model:
    """Convert to an OpenVINO graph that takes any number of images at once."""
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        # The tracer warns of its own deprecation and of constants; neither is news to the user of a training log.
        warnings.simplefilter("ignore")
        # Traced here: OpenVINO would have it done twice, to compare, which takes a third of the time. The tests hold
        # what is exported against PyTorch.
        traced = torch.jit.trace(network.eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
        return ov.convert_model(traced, example_input=example, input=ov.PartialShape([-1, size, size, 3]))


def with_head(features: ov.Model, head: nn.Linear) -> ov.Model:
    """The graph of features with a linear layer behind it: what served the training goes on to serve, unchanged."""
    graph = features.clone()
    weight, bias = (ops.constant(parameter.detach().numpy()) for parameter in (head.weight, head.bias))
    product = ops.matmul(graph.outputs[0].get_node().input_value(0), weight, transpose_a=False, transpose_b=True)
    graph = ov.Model([ops.add(product, bias)], graph.get_parameters(), "classifier")
    graph.inputs[0].get_tensor().set_names({"pixels"})
    graph.outputs[0].get_tensor().set_names({"logits"})
    return graph


def runner(network: nn.Module, graph: ov.Model) -> Runner:
    """The fastest way to run a frozen network here: torch in bf16 on a GPU, else `graph` in the engine that serves.

    On a CPU OpenVINO runs small backbones several times as fast as torch does, in either precision.
    """
    if not torch.cuda.is_available():
        return Engine(graph, cpu_precisions()[-1])
    on_gpu = copy.deepcopy(network).eval().cuda().to(memory_format=torch.channels_last)

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            outputs: NDArray[np.float32] = on_gpu(torch.from_numpy(images).cuda()).float().cpu().numpy()
            return outputs

    return run


def run_over(images: Images, runners: Sequence[Runner], description: str) -> list[Outputs]:
    """Send every image of a split through every runner. Raises DataError when too many are broken, or all."""
    with bar(len(images.samples), description) as shown:
        outputs = run_part(images, runners, 0, len(images.samples), shown)
    if not outputs:
        raise none_left(images.samples)
    return outputs


def run_part(images: Images, runners: Sequence[Runner], start: int, stop: int, shown: Bar) -> list[Outputs]:
    """`run_over` for samples[start:stop], as a part of what a progress bar shows; nothing where all are broken."""
    rows: list[list[NDArray[np.float32]]] = [[] for _ in runners]
    found: list[NDArray[np.int64]] = []
    for pixels, batch_positions in images.batches(start, stop):
        found.append(batch_positions)
        for run, outputs in zip(runners, rows, strict=True):
            outputs.append(run(pixels))
        shown.update(len(batch_positions))
    if not found:
        return []
    positions = torch.from_numpy(np.concatenate(found))
    labels = torch.tensor([images.samples[position].label for position in positions])
    return [Outputs(torch.from_numpy(np.concatenate(outputs)), labels, positions) for outputs in rows]

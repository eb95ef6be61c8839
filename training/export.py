"""From a trained network to the artifact that is served: weights, graph and handlers."""

import shutil
from importlib.metadata import version
from pathlib import Path

import openvino as ov
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import inference
from inference.artifact import GRAPH_NAME, GRAPH_WEIGHTS_NAME, MANIFEST_NAME, WEIGHTS_NAME
from training.errors import TrainingError
from training.network import Network

CODE_NAME = "code"
# What AWS's toolkit imports; our own image serves with the same modules, and `serve.py` around them.
HANDLER_MODULES = ("__init__", "artifact", "engine", "inference", "preprocess")
HANDLER_REQUIREMENTS = ("numpy", "openvino", "pillow")


def fold_standardisation(head: nn.Linear, mean: Tensor, std: Tensor) -> nn.Linear:
    """The linear layer that does to raw features what `head` does to standardised ones: W/s and b - (W/s)m."""
    folded = nn.Linear(head.in_features, head.out_features)
    with torch.no_grad():
        folded.weight.copy_(head.weight / std)
        folded.bias.copy_(head.bias - folded.weight @ mean)
    return folded


def check_model_dir(model_dir: Path) -> None:
    """Raise TrainingError when it holds other files than an artifact's: they would end up in ours, or be lost."""
    ours = {MANIFEST_NAME, WEIGHTS_NAME, GRAPH_NAME, GRAPH_WEIGHTS_NAME, CODE_NAME}
    if foreign := sorted(path.name for path in model_dir.iterdir() if path.name not in ours):
        raise TrainingError(f"The model directory {model_dir} holds {foreign[0]}: give an empty one.")


def write_network(network: Network, graph: ov.Model, model_dir: Path) -> None:
    """Write the weights, their graph and the handlers' code into a model directory, in place of an earlier artifact."""
    check_model_dir(model_dir)
    for path in model_dir.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, model_dir / WEIGHTS_NAME)
    # OpenVINO would round the weights to 16 bits; whether that does harm is the precision's question, not the file's.
    ov.save_model(graph, model_dir / GRAPH_NAME, compress_to_fp16=False)
    package = Path(inference.__file__).parent
    target = model_dir / CODE_NAME / package.name
    target.mkdir(parents=True)
    for module in HANDLER_MODULES:
        shutil.copyfile(package / f"{module}.py", target / f"{module}.py")
    requirements = "".join(f"{name}=={version(name)}\n" for name in HANDLER_REQUIREMENTS)
    (model_dir / CODE_NAME / "requirements.txt").write_text(requirements)

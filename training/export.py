"""From a trained network to the artifact that is served: weights, graph, handlers, and why it has its precision."""

import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import openvino as ov
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import inference
from inference.artifact import GRAPH_NAME, GRAPH_WEIGHTS_NAME, MANIFEST_NAME, WEIGHTS_NAME, PrecisionChoice
from inference.engine import Engine, cpu_precisions
from inference.preprocess import Preprocess
from training.data import Broken, Sample
from training.errors import TrainingError
from training.evaluation import evaluate
from training.network import Network, Outputs, run_over

CODE_NAME = "code"
# What AWS's toolkit imports; our own image serves with the same modules, and `serve.py` around them.
HANDLER_MODULES = ("__init__", "artifact", "engine", "inference", "preprocess")
HANDLER_REQUIREMENTS = ("numpy", "openvino", "pillow")
# A cheaper precision may lose this much of validation top-1 (as a share) and still be chosen.
TOLERATED_LOSS = 0.005


def fold_standardisation(head: nn.Linear, mean: Tensor, std: Tensor) -> nn.Linear:
    """The linear layer that does to raw features what `head` does to standardised ones: W/s and b - (W/s)m."""
    folded = nn.Linear(head.in_features, head.out_features)
    with torch.no_grad():
        folded.weight.copy_(head.weight / std)
        folded.bias.copy_(head.bias - folded.weight @ mean)
    return folded


def clear_model_dir(model_dir: Path) -> None:
    """Make an empty model directory, in place of an earlier artifact if there is one.

    Raises:
        TrainingError: it holds other files, which would end up in the artifact or be lost.
    """
    model_dir.mkdir(parents=True, exist_ok=True)
    ours = {MANIFEST_NAME, WEIGHTS_NAME, GRAPH_NAME, GRAPH_WEIGHTS_NAME, CODE_NAME}
    if foreign := sorted(path.name for path in model_dir.iterdir() if path.name not in ours):
        raise TrainingError(f"The model directory {model_dir} holds {foreign[0]}: give an empty one.")
    for path in model_dir.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_network(network: Network, graph: ov.Model, model_dir: Path) -> None:
    """Write the weights, their graph and the handlers' code into an empty model directory."""
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


def run_candidates(
    model_dir: Path, samples: Sequence[Sample], preprocess: Preprocess, broken: Broken
) -> dict[str, Outputs]:
    """The exported graph's logits on validation in each precision that this CPU computes, the cheapest last."""
    candidates = cpu_precisions()
    engines = [Engine(model_dir / GRAPH_NAME, precision) for precision in candidates]
    logits = run_over(samples, preprocess, engines, broken, "valid, exported")
    return dict(zip(candidates, logits, strict=True))


def choose_precision(validation: Mapping[str, Outputs]) -> PrecisionChoice:
    """Choose the last candidate that loses at most TOLERATED_LOSS against fp32, and say why, with the figures."""
    top1 = {name: round(evaluate(logits, temperature=1).top1, 6) for name, logits in validation.items()}
    chosen = next(name for name in reversed(list(top1)) if top1[name] >= top1["fp32"] - TOLERATED_LOSS)
    figures = ", ".join(f"{name} {value:.4f}" for name, value in top1.items())
    evidence = f"top-1 on {len(validation[chosen].labels)} validation images: {figures}"
    if len(top1) == 1:
        why = f"the CPU that exported the model computes nothing cheaper natively; {evidence}"
    elif chosen == "fp32":
        why = f"the cheaper candidates lose more than {TOLERATED_LOSS}; {evidence}"
    else:
        why = f"{chosen} is the cheapest within {TOLERATED_LOSS} of fp32; {evidence}"
    return PrecisionChoice(chosen, why, top1)

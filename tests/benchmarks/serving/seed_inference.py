"""The seed's inference script: what students of its project write, and what its endpoint ran.

`model_fn`, `input_fn` and `predict_fn` are the script's; there is no `output_fn`, so AWS's toolkit writes the bare list
of logits. In the seed's favour are: the weights come from a file (the script builds `resnet50(pretrained=True)`, which
downloads at every start), and there is no logging. And so that both sides answer from the same weights, the network is
built by the name in `model.json`, with one linear layer as its head, and the weights are a safetensors file, not a
pickle.
"""

import io
import json
from pathlib import Path
from typing import Any

import requests
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import transforms

JSON_CONTENT_TYPE = "application/json"
JPEG_CONTENT_TYPE = "image/jpeg"

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Net(nn.Module):
    def __init__(self, backbone: str, classes: int) -> None:
        super().__init__()
        features: Any = timm.create_model(backbone, pretrained=False, num_classes=0)
        for parameter in features.parameters():
            parameter.requires_grad = False
        self.backbone = features
        self.head = nn.Linear(features.num_features, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(images))
        return logits


def model_fn(model_dir: str) -> nn.Module:
    content = json.loads((Path(model_dir) / "model.json").read_text())
    model = Net(content["backbone"], len(content["classes"]))
    weights = load_file(Path(model_dir) / "model.safetensors")
    model.load_state_dict({name: tensor for name, tensor in weights.items() if name not in ("mean", "std")})
    return model.to(device).eval()


def input_fn(request_body: bytes | str, content_type: str = JPEG_CONTENT_TYPE) -> Image.Image:
    if content_type == JPEG_CONTENT_TYPE:
        return Image.open(io.BytesIO(request_body))  # type: ignore[arg-type]
    if content_type == JSON_CONTENT_TYPE:
        url = json.loads(request_body)["url"]
        return Image.open(io.BytesIO(requests.get(url).content))  # noqa: S113 (so it is)
    raise Exception(f"Requested unsupported ContentType in content_type: {content_type}")


def predict_fn(input_object: Any, model: nn.Module) -> Tensor:
    test_transform = transforms.Compose([transforms.Resize((224, 224)), transforms.ToTensor()])
    pixels = test_transform(input_object).to(device)
    with torch.no_grad():
        prediction: Tensor = model(pixels.unsqueeze(0))
    return prediction

"""Where backbones come from, and what is said when one does not."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from training.backbone import BackboneError, load_backbone


def test_the_default_has_real_weights_and_its_own_input() -> None:
    backbone = load_backbone("tf_efficientnet_lite0", None, None)
    assert (backbone.input.size, backbone.input.mean, backbone.input.std) == (224, (0.5,) * 3, (0.5,) * 3)
    assert not backbone.module.training
    assert not any(parameter.requires_grad for parameter in backbone.module.parameters())
    features = backbone.module(torch.zeros(1, 3, 224, 224))
    assert features.shape == (1, 1280)
    random = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    assert not torch.equal(random.state_dict()["conv_stem.weight"], backbone.module.state_dict()["conv_stem.weight"])


def test_an_image_size_can_be_asked_for() -> None:
    assert load_backbone("tf_efficientnet_lite0", None, 160).input.size == 160


@pytest.mark.parametrize("name", ["tf_efficientnet_lite00", "tf_eficientnet_lite0", "resnet50.tv2_in2k"])
def test_an_unknown_backbone_is_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(BackboneError, match=r"There is no backbone .*: did you mean (tf_efficientnet_lite0|resnet50)"):
        load_backbone(name, None, None)


def test_a_backbone_without_weights_says_how_to_get_them() -> None:
    with pytest.raises(BackboneError, match=r"No weights for resnet18 .* --weights FILE\.safetensors"):
        load_backbone("resnet18", None, None)


def test_weights_come_from_a_file_or_a_channel_with_or_without_the_classifier(tmp_path: Path) -> None:
    whole = timm.create_model("resnet18", pretrained=False)
    save_file(whole.state_dict(), tmp_path / "resnet18.safetensors")
    for weights in (tmp_path / "resnet18.safetensors", tmp_path):
        backbone = load_backbone("resnet18", str(weights), None)
        assert torch.equal(backbone.module.state_dict()["conv1.weight"], whole.state_dict()["conv1.weight"])
        assert backbone.input.mean == pytest.approx((0.485, 0.456, 0.406))


def test_weights_of_another_network_or_no_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(timm.create_model("resnet18", pretrained=False).state_dict(), path)
    with pytest.raises(BackboneError, match="is of another network than resnet34"):
        load_backbone("resnet34", str(path), None)
    path.write_bytes(b"not safetensors")
    with pytest.raises(BackboneError, match="cannot be read"):
        load_backbone("resnet18", str(path), None)
    with pytest.raises(BackboneError, match=r"neither a \.safetensors file nor a folder"):
        load_backbone("resnet18", str(tmp_path / "absent.pth"), None)

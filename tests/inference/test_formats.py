"""A model outlives the software that exported it: artifacts of every minor format that ever was still answer.

`formats/<format>` keeps one of each, as that software wrote it, with graph.bin as text.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.artifact import FORMAT, manifest_sha256
from inference.inference import input_fn, model_fn, predict_fn
from tests.inference.tampering import pack_with

KEPT = Path(__file__).parent / "formats"
# As a release list names them.
DIGESTS = {
    "1.0": "3136c202a31d2152936088d7e4d37973de77be05d793ef077447e4ce567c5bd9",
    "1.1": "dfc7f018b42df8089d72e759d19e64056f2ab2d683f93d14986838e6cf59a67f",
}


@pytest.fixture(params=DIGESTS)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    directory = tmp_path / str(request.param)
    shutil.copytree(KEPT / request.param, directory)
    weights = directory / "graph.bin.hex"
    (directory / "graph.bin").write_bytes(bytes.fromhex(weights.read_text()))
    weights.unlink()
    return directory


def test_every_kept_format_still_answers(
    kept: Path, picture: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_MANIFEST_SHA256", DIGESTS[kept.name])
    model = model_fn(kept)
    assert model.manifest.format == kept.name
    answer = predict_fn(input_fn(picture("blue"), "image/png"), model)
    assert answer["predictions"][0]["top"][0]["label"] == "blue"


def test_every_kept_format_can_still_be_released(kept: Path, tmp_path: Path) -> None:
    pack_with(kept, tmp_path / "model.tar.gz")
    assert manifest_sha256(tmp_path / "model.tar.gz") == DIGESTS[kept.name]


def test_the_format_of_today_is_kept_too() -> None:
    assert FORMAT in DIGESTS
    assert {path.name for path in KEPT.iterdir()} == set(DIGESTS)

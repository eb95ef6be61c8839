"""What a job without a package index gets is enough, where there is nothing but what AWS's image holds."""

import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from local_aws.home import REPOSITORY
from training.errors import TrainingError
from training.wheels import download

REQUIREMENTS = REPOSITORY / "training" / "requirements.txt"


def test_a_wheel_that_is_not_to_be_had_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"no-such-package==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(TrainingError, match=r"The wheels for a job without .* cannot be had: .*no-such-package"):
        download(lock, "3.12", tmp_path / "wheels")


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_clean_environment_trains_with_the_wheels_alone(drawn: Path, tmp_path: Path) -> None:
    """PyTorch comes first, as in AWS's image; then pip sees no index any more."""
    download(REQUIREMENTS, f"{sys.version_info.major}.{sys.version_info.minor}", wheels := tmp_path / "wheels")
    venv.create(place := tmp_path / "image", with_pip=True)
    python = str(place / "bin" / "python")
    torch = re.findall(r"^torch(?:vision)?==\S+", (REPOSITORY / "requirements.txt").read_text(), flags=re.MULTILINE)
    assert len(torch) == 2
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--python", python]
    subprocess.run([*uv, *torch], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(wheels)]
    subprocess.run([*install, "--requirement", str(REQUIREMENTS)], check=True)
    places = ["--model-dir", str(tmp_path / "model"), "--output-dir", str(tmp_path / "output")]
    trained = subprocess.run(
        [python, "-m", "training.train", "--data", str(drawn), "--epochs", "2", "--calibration-images", "16", *places],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "model" / "model.json").exists()

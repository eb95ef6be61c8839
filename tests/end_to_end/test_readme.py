"""README's commands, those in blocks marked as tested, as a newcomer would type them. `make verify` runs it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from local_aws.home import REPOSITORY

pytestmark = [pytest.mark.full, pytest.mark.timeout(1700), pytest.mark.xdist_group("readme")]
BLOCKS = re.findall(
    r"^```sh tested\n(.*?)^```$", (REPOSITORY / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's own files elsewhere; the packages stay where they are."""
    folder = tmp_path_factory.mktemp("readme")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    for name in tracked.stdout.split("\0"):
        if (REPOSITORY / name).is_file():
            (folder / "main" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / "main" / name)
    (folder / "main" / ".venv").symlink_to(REPOSITORY / ".venv")
    return folder


def test_the_commands_do_what_they_say(checkout: Path) -> None:
    """The last of them destroys everything, and is answered with yes."""
    assert len(BLOCKS) == 5
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "AWS_"))}
    environment = {
        **own,
        "HOME": str(checkout),
        "TF_PLUGIN_CACHE_DIR": own.get("TF_PLUGIN_CACHE_DIR", str(REPOSITORY / "build" / "terraform-plugins")),
    }
    environment.pop("PYTHONPATH", None)
    said = []
    try:
        for block in BLOCKS:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block],
                cwd=checkout / "main",
                env=environment,
                input="yes\n" * 2,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{block}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            said.append(done.stdout)
    finally:
        subprocess.run(["make", "down"], cwd=checkout / "main", env=environment, check=False, capture_output=True)
    assert re.search(r"^drawn_\w+ +[0-9.]+% ", said[0], flags=re.MULTILINE)
    assert (checkout / "main" / "build" / "answer.json").is_file()
    assert "in service, 1 instance" in said[2]
    assert "Nothing is left over that bears its tags." in said[3]
    assert (checkout / "main" / "build" / "model" / "model.json").is_file()

"""Does an artifact answer? Asked of a serving process on this machine, before anything is changed in the cloud."""

import io
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import urllib3
from PIL import Image

import inference
from ops.outputs import ToolError

_READY_SECONDS = 120
_ANSWER_SECONDS = 30


def photograph() -> bytes:
    """A JPEG of 320 x 240 that shows nothing: a model has to answer it, whatever the answer."""
    picture = io.BytesIO()
    Image.radial_gradient("L").resize((320, 240)).convert("RGB").save(picture, "JPEG")
    return picture.getvalue()


def check(archive: Path, digest: str) -> None:
    """Load a model.tar.gz as the endpoint will, and let it answer a photograph. Raises ToolError with the reason.

    Its process has nothing of this one's environment, no credentials above all.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tarfile.open(archive) as tar:
            tar.extractall(folder / "model", filter="data")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": name, "SAGEMAKER_BASE_DIR": name}
        environment |= {"SAGEMAKER_BIND_TO_PORT": str(port), "MODEL_MANIFEST_SHA256": digest}
        command = [sys.executable, "-m", "inference.serve"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                command, cwd=Path(inference.__path__[0]).parent, env=environment, stdout=log, stderr=log
            )
            try:
                refused = _ask(f"http://127.0.0.1:{port}", server)
            finally:
                server.terminate()
                server.wait()
        if refused:
            said = (folder / "log").read_text(errors="replace").strip().splitlines()
            raise ToolError(said[-1] if server.returncode > 0 and said else refused)


def _ask(url: str, server: "subprocess.Popen[bytes]") -> str | None:
    """What is wrong, if anything is, with the answers of a serving process."""
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            if urllib3.request("GET", f"{url}/ping", retries=False, timeout=5).status == 200:
                break
        except urllib3.exceptions.HTTPError:
            pass
        if server.poll() is not None:
            return "its serving process ended."
        if time.monotonic() > deadline:
            return f"it was not ready within {_READY_SECONDS} seconds."
        time.sleep(0.05)
    headers = {"Content-Type": "image/jpeg"}
    try:
        answer = urllib3.request(
            "POST", f"{url}/invocations", body=photograph(), headers=headers, retries=False, timeout=_ANSWER_SECONDS
        )
    except urllib3.exceptions.HTTPError as error:
        return f"it did not answer a photograph: {error}"
    return None if answer.status == 200 else f"it answered a photograph with {answer.status}: {answer.data.decode()}"

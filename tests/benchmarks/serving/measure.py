"""What is measured: a contender under load, our handlers without a server, and the accuracy of what is served."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.serving.servers import REPOSITORY, Contender, Server, ServerError, serving

HERE = Path(__file__).parent
NODE = Path(sys.executable).with_name("node")
CLIENTS = (1, 8, 32)
LOAD_SECONDS = 3
WARM_UP_REQUESTS = 48
PINGS = 500
MIB = 1 << 20


def measure(contender: Contender, images: Sequence[str], log: Path) -> dict[str, Any]:
    """Start it and load it with 1, 8 and 32 clients. Raises ServerError, also where a request was not answered."""
    first_image = Path(images[0]).read_bytes()
    with serving(contender, log) as server:
        ready = server.wait_until_ready(first_image)
        figures: dict[str, Any] = {"ping_seconds": ready.ping_seconds, "ready_seconds": ready.answer_seconds}
        load(server, images, clients=8, amount=WARM_UP_REQUESTS)  # the first ones compile and allocate
        figures["ping_p50_ms"] = load(server, [], clients=1, amount=PINGS)["p50_ms"]
        for clients in CLIENTS:
            # Requests wait in line: once this one is answered, none of an earlier load is left.
            server.predict(first_image)
            figures[f"clients_{clients}"] = load(server, images, clients, seconds=LOAD_SECONDS)
        memory = server.memory()  # after the heaviest load, not during it: reading it takes the server's time
    return figures | {"pss_mib": memory.pss_bytes / MIB, "rss_mib": memory.rss_bytes / MIB}


def load(server: Server, images: Sequence[str], clients: int, **extent: float) -> dict[str, float]:
    """Send the images in turn, `seconds` long or an `amount` of them; without any, ask /ping. Raises ServerError."""
    method, path = ("POST", "/invocations") if images else ("GET", "/ping")
    order = {"url": server.url + path, "method": method, "images": images, "clients": clients} | extent
    cpu_seconds = server.cpu_seconds()
    generator = subprocess.run(
        [NODE, HERE / "load.mjs"], input=json.dumps(order), stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(generator.stdout)
    if not found["answered"] or found["refused"] or found["errors"]:
        raise ServerError(
            f"Not all requests of {clients} clients were answered ({generator.stdout}): see {server.log}."
        )
    return found | {"cpu_ms_per_request": 1000 * (server.cpu_seconds() - cpu_seconds) / found["answered"]}


def added_by_the_server(contender: Contender, images: Sequence[str], log: Path) -> dict[str, float]:
    """What our server adds to the handlers and to the engine's call, in milliseconds: see `direct.py`."""
    with serving(contender, log) as server:
        server.wait_until_ready(Path(images[0]).read_bytes())
        model_dir = str(contender.base_dir / "model")
        command = [sys.executable, "-m", "tests.benchmarks.serving.direct", str(server.port), model_dir, *images]
        found: dict[str, float] = json.loads(subprocess.check_output(command, cwd=REPOSITORY))
    return found


def served_accuracy(contender: Contender, test: Sequence[tuple[str, str]], log: Path) -> dict[str, Any]:
    """The share of (file, class) pairs that the endpoint gets right, and the precision it answers in."""
    right = 0
    answer: Mapping[str, Any] = {}
    with serving(contender, log) as server:
        server.wait_until_ready(Path(test[0][0]).read_bytes())
        for file, label in test:
            status, body = server.predict(Path(file).read_bytes())
            if status != 200:
                raise ServerError(f"{file} was answered with {status}: see {log}.")
            answer = json.loads(body)
            right += answer["predictions"][0]["top"][0]["label"] == label
    return {"top1": right / len(test), "precision": answer["model"]["precision"]}

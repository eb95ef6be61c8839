"""Load the function of one environment, and say what its callers met.

    python -m tests.benchmarks.load --outputs build/dev/outputs.json [--image a.jpg]

How much comes from the environment: USERS, SECONDS and RATE, requests a second of all users together. Without a rate
each user asks again as soon as it has its answer. Locust's report goes to build/load/report.html, the figures to
build/load/figures.json. Being turned away (429, 503) is an answer that the function promises; anything but its own
typed answers makes the exit status 1.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from local_aws.drawn_breeds import draw_breeds
from ops.outputs import ToolError, read_outputs, run

OUT = Path("build/load")
MOST_USERS, MOST_SECONDS, MOST_A_SECOND = 500, 3600, 10_000


def number(name: str, default: str, most: float, kind: type) -> float:
    """A number above zero and at most `most`, by its variable; 0 where there is no default either. Raises ToolError."""
    text = os.environ.get(name) or default
    if not text:
        return 0
    try:
        value: float = kind(text)
    except ValueError:
        value = 0
    if not 0 < value <= most:
        whole = "whole " if kind is int else ""
        raise ToolError(f"{name} is a {whole}number above 0 and at most {most:g}, not {text!r}.")
    return value


def photograph(name: str) -> Path:
    """The photograph to send: the one named, or a drawn dog. Raises ToolError."""
    if name:
        if not (path := Path(name).expanduser()).is_file():
            raise ToolError(f"There is no photograph {name}.")
        return path.resolve()
    if not (folder := OUT / "drawn").is_dir():
        draw_breeds(folder)
    return min((folder / "test").rglob("*.jpg")).resolve()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--image", default="")
    arguments = parser.parse_args()
    users = int(number("USERS", "5", MOST_USERS, int))
    seconds = int(number("SECONDS", "30", MOST_SECONDS, int))
    rate = number("RATE", "", MOST_A_SECOND, float)
    outputs = read_outputs(arguments.outputs)
    OUT.mkdir(parents=True, exist_ok=True)
    told = {
        "LOAD_FUNCTION": outputs["function_name"],
        "LOAD_ALIAS": outputs["function_alias"],
        "LOAD_REGION": outputs["region"],
        "LOAD_IMAGE": str(photograph(arguments.image)),
        "LOAD_FIGURES": str(OUT / "figures.json"),
        "LOAD_RATE_PER_USER": str(rate / users) if rate else "",
    }
    locust = [sys.executable, "-m", "locust", "--locustfile", str(Path(__file__).with_name("locustfile.py"))]
    options = ["--headless", "--only-summary", "--skip-log", "--html", str(OUT / "report.html")]
    amount = ["--users", str(users), "--spawn-rate", str(users), "--run-time", f"{seconds}s", "--stop-timeout", "60"]
    status = subprocess.run([*locust, *options, *amount], env={**os.environ, **told}, check=False).returncode
    figures = json.loads((OUT / "figures.json").read_text())
    answers = ", ".join(f"{count:,} with {status}" for status, count in figures["answers"].items())
    latencies = ", ".join(f"{name[:-3]} {figures[name]:.0f} ms" for name in ("p50_ms", "p95_ms", "p99_ms"))
    print(f"{figures['requests_per_second']:.1f} requests a second; answered: {answers}; {latencies}.")
    if status:
        raise ToolError(f"Some callers got what the function never promises; {OUT / 'report.html'} lists it.")
    if "200" not in figures["answers"]:
        raise ToolError("Nobody got an answer: `make releases` tells whether a model is in service.")
    print(f"The report: {OUT / 'report.html'}")


if __name__ == "__main__":
    run(main)

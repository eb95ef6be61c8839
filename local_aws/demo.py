"""The whole path on one machine: the targets that a user would run, one after the other, on a stand-in of their own.

    python -m local_aws.demo [--data FOLDER]

Writes build/demo/report.json, the job's own report beside it (report.html, model-card.md, metrics.json and plots), and
each target's output to build/demo/logs/.
"""

import argparse
import contextlib
import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from local_aws.clients import client
from local_aws.drawn_breeds import draw_breeds
from local_aws.environment import client_environment
from local_aws.home import HOME_VARIABLE, REPOSITORY, Home
from local_aws.leftovers import leftovers
from ops.predict import table
from training.data import find_splits, scan
from training.errors import TrainingError

_FOLDER = REPOSITORY / "build" / "demo"
_DATASET = "demo"  # a name of its own, so that a user's data set is left alone


class StageError(Exception):
    """A target ended with a non-zero status; the message is the last that it said."""


class Demo:
    """Runs targets and keeps what is to be reported of them."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.home = Home(_FOLDER / "stand_in")
        self.report: dict[str, Any] = {"stages": []}
        self.answer: dict[str, Any] = {}
        # What was said to the make that runs this (a DATA, a -k) is not meant for the makes that this runs.
        own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        self._variables = {**own, HOME_VARIABLE: str(self.home.path)}

    def make(self, target: str, *variables: str) -> None:
        """Run one target, its output going to a log, and print a line with its seconds. Raises StageError."""
        print(f"  {target:<16}", end="", flush=True)
        log = _FOLDER / "logs" / f"{target}.log"
        start = time.monotonic()
        with log.open("w") as output:
            status = subprocess.run(
                ["make", "--no-print-directory", target, "ENV=local", f"DATASET={_DATASET}", *variables],
                cwd=REPOSITORY,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
        seconds = time.monotonic() - start
        print(f"{seconds:6.1f} s", flush=True)
        self.report["stages"].append({"name": target, "seconds": round(seconds, 1)})
        if status != 0:
            said = [line for line in log.read_text().splitlines() if line and not line.startswith("make")]
            reason = next((line for line in said if "Error:" in line), said[-1] if said else "it said nothing")
            raise StageError(f"{target} failed: {reason} (all of it: {log})")

    def run(self) -> None:
        self.make("up")
        self.make("infra")
        self.make("data", f"DATA={self.data}")
        self.make("train-sagemaker")
        self._keep_results()
        self.make("deploy")
        answer = _FOLDER / "logs" / "answer.json"
        self.make("predict", f"IMAGE={self._photograph()}", f"JSON={answer}")
        self.answer = json.loads(answer.read_text())
        self.report["predictions"] = self.answer["predictions"]
        self.make("destroy", "CONFIRM=yes")
        self.report["leftovers"] = leftovers(self._url())
        self.make("down")

    def _url(self) -> str:
        record = self.home.read_record()
        if record is None:
            raise StageError("The stand-in ended on its own: see build/demo/logs.")
        return str(record["url"])

    def _photograph(self) -> Path:
        """The first photograph of the test split, as `make data` laid it out."""
        test = REPOSITORY / "build" / "datasets" / _DATASET / "test"
        return min(path for path in test.rglob("*") if path.is_file())

    def _keep_results(self) -> None:
        """Metrics, report and plots out of the newest job's output, and the names that Terraform gave."""
        outputs = json.loads((self.home.path / "environment" / "outputs.json").read_text())
        self.report["endpoint"] = outputs["endpoint_name"]["value"]
        self.report["function"] = outputs["function_name"]["value"]
        bucket = outputs["artifacts_bucket"]["value"]
        s3 = client("s3", client_environment(self._url()))
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix="runs/")["Contents"]]
        key = next(key for key in keys if key.endswith("/output/output.tar.gz"))
        archive = io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        with tarfile.open(fileobj=archive) as tar:
            tar.extractall(_FOLDER, filter="data")
        metrics = json.loads((_FOLDER / "metrics.json").read_text())
        self.report |= {name: metrics[name] for name in ("classes", "test_top1", "test_top5")}


def _drawn_data() -> Path:
    folder = _FOLDER / "drawn"
    draw_breeds(folder)
    return folder


def _run(data: str) -> None:
    folder = Path(data).expanduser().resolve() if data else _drawn_data()
    scan(find_splits(folder))  # what can be said of the photographs at once is not said after a minute
    demo = Demo(folder)
    start = time.monotonic()
    try:
        demo.run()
    finally:
        if demo.home.read_record():  # the demo ended before its time
            print()
            demo.make("down")
    (_FOLDER / "report.json").write_text(json.dumps(demo.report, indent=2))
    print(f"  {'in all':<16}{time.monotonic() - start:6.1f} s\n")
    print(f"{table(demo.answer)}\n")
    print(
        f"{demo.report['classes']} breeds, test top-1 {demo.report['test_top1']:.1%}, top-5 "
        f"{demo.report['test_top5']:.1%}. To read: {_FOLDER.relative_to(REPOSITORY)}/report.html"
    )
    if demo.report["leftovers"]:
        raise StageError(f"Left over after destroy: {', '.join(demo.report['leftovers'])}.")


@contextlib.contextmanager
def _only_demo() -> Iterator[None]:
    """Make an empty build/demo, and keep another demo out of it. Raises StageError when one runs."""
    this_file = os.open(__file__, os.O_RDONLY)  # something to lock that is there once in each checkout
    try:
        fcntl.flock(this_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _FOLDER.mkdir(parents=True, exist_ok=True)
        Home(_FOLDER / "stand_in").kill_processes()  # of a demo that was killed
        for path in _FOLDER.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (_FOLDER / "logs").mkdir()
        yield
    except BlockingIOError:
        raise StageError("A demo is running here already: wait for it, or stop it with Ctrl-C.") from None
    finally:
        os.close(this_file)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", default="", help="a folder of photographs, train/valid/test/<breed>/<file>")
    data = parser.parse_args().data
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)  # as Ctrl-C: whatever ends the demo, its stand-in goes with it
    try:
        if _FOLDER in Path(data).expanduser().resolve().parents:
            raise StageError(f"Each demo empties build/demo first: move the photographs out of {data}.")
        with _only_demo():
            print(
                "The whole path on this machine: no account, no Docker, nothing billed. What each target says goes to "
                f"{(_FOLDER / 'logs').relative_to(REPOSITORY)}/<target>.log as it comes.",
                flush=True,
            )
            _run(data)
    except (StageError, TrainingError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the demo's stand-in is gone.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

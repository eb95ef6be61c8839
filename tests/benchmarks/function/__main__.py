"""Measure the function under Lambda's own runtime (awslambdaric), beside the seed's and beside one that does nothing.

    python -m tests.benchmarks.function [--rounds 15]

Cold: from the start of the process to the first answer, nothing compiled beforehand, as in a zip that was just
deployed. Warm: from the event handed over to the answer, beside the bare InvokeEndpoint call that it stands for. In
each round all take turns, another one first; figures are medians, ratios and differences the medians of the rounds'
own. The endpoint answers at once. Figures go to build/bench/function.json.
"""

import argparse
import base64
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

import botocore.session

from local_aws.home import REPOSITORY
from local_aws.runtime_api import ExecutionEnvironment, Invocation
from ops.package import function_zip
from tests.benchmarks.function.endpoint import answering
from tests.benchmarks.machine import describe_machine

OUT = REPOSITORY / "build" / "bench"
WORK = OUT / "function"
HERE = Path(__file__).parent
JPEG = b"\xff\xd8\xff" + bytes(range(256)) * 200  # 50 KB, as a photograph that the page made small
EVENT = json.dumps({"image_base64": base64.b64encode(JPEG).decode()}).encode()
EMPTY, OURS, SEED = CONTENDERS = ("empty", "ours", "seed")
WARM_CALLS = 40  # in each round
FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:dogs"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1"}


class Environments:
    """Starts the contenders, each from a folder with its code alone."""

    def __init__(self, endpoint_url: str) -> None:
        shutil.rmtree(WORK, ignore_errors=True)
        shutil.copytree(REPOSITORY / "lambda_function", WORK / OURS, ignore=shutil.ignore_patterns("__pycache__"))
        for name in (EMPTY, SEED):
            (WORK / name).mkdir(parents=True)
            shutil.copy(HERE / f"{name}_handler.py", WORK / name / "handler.py")
        self._variables = {
            **CREDENTIALS,
            "PATH": os.environ["PATH"],
            "HOME": str(WORK),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_ENDPOINT_URL": endpoint_url,
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_NAME": "dogs",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_LOG_LEVEL": "INFO",
            "ENDPOINT_NAME": "dogs",
            "MODEL_TIMEOUT_SECONDS": "22",
            "ALLOWED_URL_HOSTS": "*",
            "ALLOWED_S3_PREFIXES": "",
            "CORS_ORIGINS": "",
            "METRIC_NAMESPACE": "dogs",
        }

    def start(self, name: str) -> ExecutionEnvironment:
        code = WORK / name
        variables = {**self._variables, "PYTHONPATH": str(code), "LAMBDA_TASK_ROOT": str(code)}
        return ExecutionEnvironment(code, "handler.handler", variables, lambda line: None, lambda: None)


def ask(environment: ExecutionEnvironment) -> None:
    invocation = Invocation(EVENT, FUNCTION_ARN, timeout_seconds=30)
    environment.run(invocation)
    if invocation.error or json.loads(invocation.payload)["statusCode"] != 200:
        sys.exit(f"The function failed: {invocation.payload.decode()[:300]}")


def milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def cold(environments: Environments, name: str) -> float:
    kept: list[ExecutionEnvironment] = []

    def first_answer() -> None:
        kept.append(environments.start(name))
        ask(kept[0])

    spent = milliseconds(first_answer)
    kept[0].stop()
    return spent


def bare_call(endpoint_url: str) -> Callable[[], None]:
    client = botocore.session.get_session().create_client(
        "sagemaker-runtime",
        region_name="us-east-1",
        endpoint_url=endpoint_url,
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
    )

    def call() -> None:
        answer = client.invoke_endpoint(EndpointName="dogs", ContentType="image/jpeg", Body=JPEG)
        json.loads(answer["Body"].read())

    return call


def warm(environments: Environments, endpoint_url: str, rounds: int) -> list[dict[str, float]]:
    """Each round's medians, of calls that took turns."""
    running = {name: environments.start(name) for name in CONTENDERS}
    calls: dict[str, Callable[[], object]] = {"bare_call": bare_call(endpoint_url)}
    calls |= {name: lambda environment=environment: ask(environment) for name, environment in running.items()}
    found = []
    for _ in range(1 + rounds):  # the first warms up
        spent = [{name: milliseconds(call) for name, call in calls.items()} for _ in range(WARM_CALLS)]
        found.append({name: median(one[name] for one in spent) for name in calls})
    for environment in running.values():
        environment.stop()
    return found[1:]


def measure(rounds: int) -> dict[str, Any]:
    with answering() as endpoint_url:
        environments = Environments(endpoint_url)
        for name in CONTENDERS:
            cold(environments, name)  # reads the packages from disk
        colds = [
            {name: cold(environments, name) for name in CONTENDERS[n % 3 :] + CONTENDERS[: n % 3]}
            for n in range(rounds)
        ]
        warms = warm(environments, endpoint_url, rounds)
    package = function_zip(REPOSITORY / "lambda_function")
    return {
        "cold_ratio": round(median(one[OURS] / one[EMPTY] for one in colds), 3),
        "cold_ratio_of_the_seed": round(median(one[SEED] / one[EMPTY] for one in colds), 3),
        "cold_ms": {name: round(median(one[name] for one in colds), 1) for name in CONTENDERS},
        "warm_overhead_ms": round(median(one[OURS] - one["bare_call"] for one in warms), 2),
        "warm_overhead_ms_of_the_seed": round(median(one[SEED] - one["bare_call"] for one in warms), 2),
        "warm_p50_ms": {name: round(median(one[name] for one in warms), 2) for name in warms[0]},
        "zip_bytes": len(package),
        "zip_is_the_same_when_rebuilt": package == function_zip(WORK / OURS),
        "rounds": rounds,
        "machine": describe_machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    # Functions end with their connections open, which no server need tell.
    ThreadingHTTPServer.handle_error = lambda *_: None  # type: ignore[method-assign]
    figures = measure(arguments.rounds)
    (OUT / "function.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

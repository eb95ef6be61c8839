"""Locust's side of the load: callers who invoke the function with one photograph, over and over."""

import base64
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from locust import User, constant, constant_throughput, events, task
from locust.env import Environment

RATE = os.environ["LOAD_RATE_PER_USER"]
PAYLOAD = json.dumps({"image_base64": base64.b64encode(Path(os.environ["LOAD_IMAGE"]).read_bytes()).decode()})
# What the function answers when it works as it should. The rest is a fault.
TYPED = {200, 429, 503, 504}
answers: Counter[int] = Counter()


class Caller(User):
    """Someone who sends a photograph and waits for the breed."""

    wait_time = constant_throughput(float(RATE)) if RATE else constant(0)

    def on_start(self) -> None:
        # A refusal is a result here, not something to try again.
        patience = Config(retries={"total_max_attempts": 1}, read_timeout=70)
        self._lambda = boto3.session.Session().client("lambda", region_name=os.environ["LOAD_REGION"], config=patience)

    @task
    def predict(self) -> None:
        start = time.perf_counter()
        status, length = self._invoke()
        answers[status] += 1
        self.environment.events.request.fire(
            request_type="Invoke",
            name="predict",
            response_time=1000 * (time.perf_counter() - start),
            response_length=length,
            exception=None if status == 200 else RuntimeError(f"status {status}"),
            context={},
        )

    def _invoke(self) -> tuple[int, int]:
        """Status and bytes of the answer; 0 is an answer that is none."""
        try:
            response = self._lambda.invoke(
                FunctionName=os.environ["LOAD_FUNCTION"], Qualifier=os.environ["LOAD_ALIAS"], Payload=PAYLOAD
            )
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"]), 0
        payload = response["Payload"].read()
        return int(json.loads(payload).get("statusCode", 0)), len(payload)


@events.quitting.add_listener
def keep_figures(environment: Environment, **_: Any) -> None:
    """Write what the callers met; the exit status speaks of faults alone, not of refusals."""
    total = environment.stats.total
    figures = {
        "requests": total.num_requests,
        "answers": {str(status): count for status, count in sorted(answers.items())},
        "requests_per_second": round(total.total_rps, 2),
        **{f"p{q}_ms": total.get_response_time_percentile(q / 100) for q in (50, 95, 99)},
    }
    Path(os.environ["LOAD_FIGURES"]).write_text(json.dumps(figures, indent=2) + "\n")
    environment.process_exit_code = 0 if answers and answers.keys() <= TYPED else 1

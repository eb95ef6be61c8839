"""CreateHyperParameterTuningJob that really searches: its trials are training jobs of this stand-in.

AWS's Bayesian strategy is AWS's own; here each trial's values are drawn at random, by the seed of the request, and
none is stopped early. The rest is as there: trials run side by side, and the best is the best that was measured.
"""

import contextlib
import hashlib
import json
import random
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from werkzeug.wrappers import Response

from local_aws.cloud import Cloud, ServiceError, require_name
from local_aws.environment import ACCOUNT_ID, REGION
from local_aws.tuning_requests import HANDED_ON, draw, refuse_unknown

_METRIC = "FinalHyperParameterTuningJobObjectiveMetric"
_MOST_DRAWS = 100  # of values that no trial has had yet; of few whole numbers there may be none left
_POLL_SECONDS = 0.2
_CLOSE_SECONDS = 10
_STATUSES = {"Completed": "Completed", "InProgress": "InProgress", "Stopping": "InProgress", "Stopped": "Stopped"}


class TuningJobs:
    """The searches of this stand-in, by name."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._searches: dict[str, _Search] = {}

    def create(self, request: dict[str, Any]) -> Response:
        name = request["HyperParameterTuningJobName"]
        require_name("hyperParameterTuningJobName", name)
        if len(name) > 32:
            raise ServiceError("ValidationException", f"The name {name} has more than 32 characters.")
        if name in self._searches:
            raise ServiceError("ResourceInUse", f"A tuning job with the name {name} exists already.")
        refuse_unknown(request)
        search = _Search(self._cloud, request)
        try:
            search.start_trial()  # at once: what keeps a trial from starting is told to whoever asked for the search
        except ClientError as error:
            raise ServiceError(error.response["Error"]["Code"], error.response["Error"]["Message"]) from None
        search.start()
        self._searches[name] = search
        return _answer({"HyperParameterTuningJobArn": search.arn})

    def describe(self, request: dict[str, Any]) -> Response:
        return _answer(self._find(request).description())

    def list_trials(self, request: dict[str, Any]) -> Response:
        return _answer({"TrainingJobSummaries": self._find(request).summaries()})

    def stop(self, request: dict[str, Any]) -> Response:
        self._find(request).stop()
        return _answer({})

    def close(self) -> None:
        for search in self._searches.values():
            search.abandon()

    def _find(self, request: dict[str, Any]) -> "_Search":
        name = request["HyperParameterTuningJobName"]
        if name not in self._searches:
            raise ServiceError("ResourceNotFound", f"There is no tuning job {name}.")
        return self._searches[name]


class _Search(threading.Thread):
    """One search from its first trial to its last."""

    def __init__(self, cloud: Cloud, request: dict[str, Any]) -> None:
        super().__init__(name=request["HyperParameterTuningJobName"], daemon=True)
        self.arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT_ID}:hyper-parameter-tuning-job/{self.name}"
        self._request = request
        self._config, self._definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
        # The service starts the trials itself, under no role of the account's.
        self._sagemaker = cloud.client("sagemaker")
        self._random = random.Random(self._config.get("RandomSeed", 0))  # noqa: S311
        self._trials: dict[str, dict[str, str]] = {}  # what was chosen for each, by its name
        self._status, self._reason = "InProgress", ""
        self._began = self._changed = datetime.now(UTC)
        self._stopping, self._abandoned = threading.Event(), threading.Event()
        self._status_lock = threading.Lock()

    def run(self) -> None:
        limits = self._config["ResourceLimits"]
        most, parallel = limits["MaxNumberOfTrainingJobs"], limits["MaxParallelTrainingJobs"]
        while not self._abandoned.is_set():
            try:
                statuses = {trial["TrainingJobName"]: trial["TrainingJobStatus"] for trial in self._described()}
                running = [name for name, status in statuses.items() if status in ("InProgress", "Stopping")]
                if self._stopping.is_set():
                    self._stop_trials(name for name in running if statuses[name] == "InProgress")
                done = len(self._trials) == most or self._stopping.is_set()
                if done and not running:
                    return self._end()
                if not done and len(running) < parallel:
                    self.start_trial()
                    continue
            except Exception as error:  # a thread is nobody's child: its end is told to whoever describes the search
                self._reason = self._reason or f"InternalServerError: {error}"
                self._stopping.set()
            self._abandoned.wait(_POLL_SECONDS)
        return None

    def stop(self) -> None:
        with self._status_lock:
            if self._status != "InProgress":
                raise ServiceError("ValidationException", f"The tuning job is in status {self._status}.")
            self._status = "Stopping"
            self._stopping.set()

    def abandon(self) -> None:
        self._abandoned.set()
        self.join(_CLOSE_SECONDS)

    def start_trial(self) -> None:
        for _ in range(_MOST_DRAWS):
            chosen = draw(self._config["ParameterRanges"], self._random)
            if chosen not in self._trials.values():
                break
        number = len(self._trials) + 1
        mark = hashlib.sha256(f"{self.name} {number}".encode()).hexdigest()[:8]
        name = f"{self.name}-{number:03}-{mark}"
        algorithm = {key: value for key, value in self._definition["AlgorithmSpecification"].items() if value}
        objective = {"_tuning_objective_metric": self._config["HyperParameterTuningJobObjective"]["MetricName"]}
        parameters = {**self._definition.get("StaticHyperParameters", {}), **chosen, **objective}
        handed_on = {key: self._definition[key] for key in HANDED_ON & self._definition.keys()}
        self._sagemaker.create_training_job(
            TrainingJobName=name, AlgorithmSpecification=algorithm, HyperParameters=parameters, **handed_on
        )
        self._trials[name] = chosen

    def _stop_trials(self, names: Iterable[str]) -> None:
        for name in names:
            with contextlib.suppress(ClientError):  # it came to its end just now
                self._sagemaker.stop_training_job(TrainingJobName=name)

    def _described(self) -> list[dict[str, Any]]:
        return [self._sagemaker.describe_training_job(TrainingJobName=name) for name in list(self._trials)]

    def _objective(self, trial: dict[str, Any]) -> float | None:
        """What a trial came to; None while it has no result, or where it failed."""
        name = self._config["HyperParameterTuningJobObjective"]["MetricName"]
        if trial["TrainingJobStatus"] not in ("Completed", "Stopped"):
            return None
        values = (item["Value"] for item in trial.get("FinalMetricDataList", []) if item["MetricName"] == name)
        return next(values, None)

    def _end(self) -> None:
        described = self._described()
        with self._status_lock:
            if self._status == "Stopping":
                self._status = "Stopped"
            elif not self._reason and any(self._objective(trial) is not None for trial in described):
                self._status = "Completed"
            else:
                reasons = (trial["FailureReason"] for trial in described if "FailureReason" in trial)
                self._status = "Failed"
                self._reason = self._reason or next(reasons, "No trial printed a line with the objective metric.")
            self._changed = datetime.now(UTC)

    def summaries(self) -> list[dict[str, Any]]:
        """The trials as ListTrainingJobsForHyperParameterTuningJob tells of them."""
        objective = self._config["HyperParameterTuningJobObjective"]
        found = []
        for trial in self._described():
            times = {
                key: trial[key] for key in ("CreationTime", "TrainingStartTime", "TrainingEndTime") if key in trial
            }
            summary: dict[str, Any] = {
                "TrainingJobName": trial["TrainingJobName"],
                "TrainingJobArn": trial["TrainingJobArn"],
                "TrainingJobStatus": trial["TrainingJobStatus"],
                "TunedHyperParameters": self._trials[trial["TrainingJobName"]],
                **{key: value.timestamp() for key, value in times.items()},
            }
            if "FailureReason" in trial:
                summary["FailureReason"] = trial["FailureReason"]
            if (value := self._objective(trial)) is not None:
                summary[_METRIC] = {**objective, "Value": value}
            found.append(summary)
        return found

    def description(self) -> dict[str, Any]:
        """DescribeHyperParameterTuningJob's answer."""
        summaries = self.summaries()
        counted = [_STATUSES.get(trial["TrainingJobStatus"], "NonRetryableError") for trial in summaries]
        counters = ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped")
        measured = [trial for trial in summaries if _METRIC in trial]
        sign = 1 if self._config["HyperParameterTuningJobObjective"]["Type"] == "Minimize" else -1
        best = min(measured, key=lambda trial: sign * trial[_METRIC]["Value"], default=None)
        return {
            "HyperParameterTuningJobName": self.name,
            "HyperParameterTuningJobArn": self.arn,
            "HyperParameterTuningJobConfig": self._config,
            "TrainingJobDefinition": self._definition,
            "HyperParameterTuningJobStatus": self._status,
            "CreationTime": self._began.timestamp(),
            "LastModifiedTime": self._changed.timestamp(),
            "TrainingJobStatusCounters": {name: counted.count(name) for name in counters},
            "ObjectiveStatusCounters": {
                "Succeeded": len(measured),
                "Pending": counted.count("InProgress"),
                "Failed": len(counted) - len(measured) - counted.count("InProgress"),
            },
            **({"BestTrainingJob": best} if best else {}),
            **({"FailureReason": self._reason} if self._reason else {}),
        }


def _answer(content: dict[str, Any]) -> Response:
    return Response(json.dumps(content), mimetype="application/x-amz-json-1.1")

"""The log of a training job as it grows, and how the job ends."""

import time
from collections.abc import Iterator
from typing import Any

import boto3

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
POLL_SECONDS = 1
WAITING = ("Pending", "Interrupted", "Restarting")  # statuses in which whoever waits wants to know for what


def follow(session: boto3.Session, run_id: str) -> dict[str, Any]:
    """Print the job's log as it grows, each line behind its host where there are several.

    Returns DescribeTrainingJob's last answer.
    """
    sagemaker, log, seen = session.client("sagemaker"), Log(session.client("logs"), run_id), 0
    while True:
        description: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=run_id)
        transitions = description.get("SecondaryStatusTransitions", [])
        for transition in transitions[seen:]:
            if transition["Status"] in WAITING:
                print(f"({transition['Status']}: {transition.get('StatusMessage', '')})", flush=True)
        seen = len(transitions)
        is_alone = description["ResourceConfig"].get("InstanceCount", 1) == 1
        for host, line in log.new_lines():
            if line.strip():  # the toolkit breaks lines into pieces, some of them empty
                print(line if is_alone else f"{host}: {line}", flush=True)
        if description["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"):
            return description
        time.sleep(POLL_SECONDS)


class Log:
    """The log streams of one job, one per host, read from where the last reading ended."""

    def __init__(self, logs: Any, run_id: str) -> None:
        self._logs, self._run_id = logs, run_id
        self._tokens: dict[str, str | None] = {}

    def new_lines(self) -> Iterator[tuple[str, str]]:
        """(host, line) of what is new."""
        try:
            streams = self._logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{self._run_id}/")
        except self._logs.exceptions.ResourceNotFoundException:
            return  # the very first job of an account makes the group
        for stream in streams["logStreams"]:
            name = stream["logStreamName"]  # <job>/algo-<number>-<time>
            host = name.partition("/")[2].rpartition("-")[0]
            yield from ((host, line) for line in self._read(name))

    def _read(self, stream: str) -> Iterator[str]:
        while True:
            token = self._tokens.get(stream)
            page = self._logs.get_log_events(
                logGroupName=LOG_GROUP,
                logStreamName=stream,
                startFromHead=True,
                **({"nextToken": token} if token else {}),
            )
            yield from (event["message"] for event in page["events"])
            self._tokens[stream] = page["nextForwardToken"]
            if page["nextForwardToken"] == token or not page["events"]:
                return

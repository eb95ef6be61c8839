"""Follow one request by its id: through the function's log and the endpoint's, to the metrics and its milliseconds.

Both log lines are CloudWatch's metrics, too (embedded metric format).
"""

import json
import time
from typing import Any

import boto3

from ops.outputs import ToolError, columns

# CloudWatch shows a line some seconds after it was written.
_PATIENCE_SECONDS, _PAUSE_SECONDS = 60, 1
_CLOCKS_APART_MS = 60_000


def find_line(logs: Any, group: str, request_id: str, since_ms: int) -> tuple[str, dict[str, Any]]:
    """(log stream, the line that was written once the request was answered). Raises ToolError when it does not come."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    pages = logs.get_paginator("filter_log_events")
    while True:
        for page in pages.paginate(logGroupName=group, startTime=since_ms, filterPattern=f'"{request_id}"'):
            for event in page["events"]:
                if event["message"].startswith("{") and "_aws" in (line := json.loads(event["message"])):
                    return event["logStreamName"], line
        if time.monotonic() > deadline:
            raise ToolError(f"The log group {group} has no line of request {request_id} after {_PATIENCE_SECONDS} s.")
        time.sleep(_PAUSE_SECONDS)


def metrics(line: dict[str, Any]) -> str:
    """The metrics that CloudWatch makes of a line: namespace: name value, …"""
    told = []
    for directive in line["_aws"]["CloudWatchMetrics"]:
        names = [metric["Name"] for metric in directive["Metrics"]]
        by = "".join(f" by {name}={line[name]}" for names in directive["Dimensions"] for name in names)
        told.append(f"{directive['Namespace']}{by}: " + ", ".join(f"{name} {line[name]:.4g}" for name in names))
    return "; ".join(told)


def where_time_went(seconds: float, function: dict[str, Any], endpoint: dict[str, Any]) -> list[tuple[str, float]]:
    """[(stage, its milliseconds)], which add up to what the caller waited for."""
    in_all, in_function, call = 1000 * seconds, function["TotalMilliseconds"], function["ModelMilliseconds"]
    in_endpoint = endpoint["total_milliseconds"]
    stages = {name: endpoint[f"{name}_milliseconds"] for name in ("decode", "queue", "model")}
    return [
        ("on this machine, to Lambda and back", in_all - in_function),
        ("in the function", in_function - call),
        ("to the endpoint and back", call - in_endpoint),
        ("in the serving process", in_endpoint - sum(stages.values())),
        ("  reading the image", stages["decode"]),
        ("  waiting for the batch before", stages["queue"]),
        ("  in the model", stages["model"]),
        ("in all", in_all),
    ]


def follow(outputs: dict[str, Any], request_id: str, began: float, seconds: float) -> str:
    """What is known of a request that `began` (Unix time) and took `seconds`. Raises ToolError where a log lacks it."""
    logs, lines, told = boto3.client("logs", region_name=outputs["region"]), [], []
    for group in (f"/aws/lambda/{outputs['function_name']}", f"/aws/sagemaker/Endpoints/{outputs['endpoint_name']}"):
        stream, line = find_line(logs, group, request_id, int(1000 * began) - _CLOCKS_APART_MS)
        lines.append(line)
        told.append(f"\n{group}, {stream}:\n  request {line['id']}: {line['status']}\n  metrics {metrics(line)}")
    spent = where_time_went(seconds, *lines)
    told.append("\n" + columns([("where its milliseconds went", ""), *((stage, f"{ms:8.1f}") for stage, ms in spent)]))
    return "\n".join(told)

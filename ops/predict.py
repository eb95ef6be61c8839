"""Send one photograph through the function and print the likeliest breeds.

python -m ops.predict --outputs build/dev/outputs.json --image photograph.jpg [--json answer.json] [--trace 1]
"""

import argparse
import base64
import json
import time
import uuid
from pathlib import Path
from typing import Any

import boto3

from ops import trace
from ops.outputs import ToolError, read_outputs, run

_BAR_CHARACTERS = 30
# What the caller can do about an error of the function; its own message says what happened.
_REMEDIES = {
    "not_deployed": "run `make deploy`, or `make start` where it was stopped.",
    "busy": "try again in a moment.",
}


def read_photograph(name: str) -> bytes:
    """A file's bytes. Raises ToolError."""
    if not name:
        raise ToolError("Say which photograph: make predict IMAGE=<file>.")
    try:
        return Path(name).expanduser().read_bytes()
    except OSError as error:
        raise ToolError(f"Cannot read the photograph {name}: {error.strerror}.") from None


def predict(outputs: dict[str, Any], image: bytes, request_id: str | None = None) -> dict[str, Any]:
    """The body of the function's answer. Raises ToolError with the function's own words."""
    client = boto3.client("lambda", region_name=outputs["region"])
    event = {"image_base64": base64.b64encode(image).decode()} | ({"request_id": request_id} if request_id else {})
    try:
        response = client.invoke(
            FunctionName=outputs["function_name"],
            Qualifier=outputs["function_alias"],
            Payload=json.dumps(event),
        )
    except client.exceptions.RequestTooLargeException:
        raise ToolError(f"The photograph has {len(image)} bytes, more than Lambda takes: make it smaller.") from None
    answer = json.loads(response["Payload"].read())
    if "FunctionError" in response:
        raise ToolError(f"The function failed: {answer.get('errorType')}: {answer.get('errorMessage')}")
    body: dict[str, Any] = json.loads(answer["body"])
    if answer["statusCode"] != 200:
        error = body["error"]
        remedy = _REMEDIES.get(error["code"])
        raise ToolError(
            f"{answer['statusCode']} from the function: {error['message']}" + (f" Remedy: {remedy}" if remedy else "")
        )
    return body


def table(body: dict[str, Any]) -> str:
    """A line a breed: name, percentage, bar."""
    rows = body["predictions"]
    width = max(len(row["label"]) for row in rows)
    lines = []
    for row in rows:
        bar = "█" * round(row["probability"] * _BAR_CHARACTERS)
        lines.append(f"{row['label']:<{width}}  {row['probability']:6.1%}  {bar}".rstrip())
    if body["low_confidence"]:
        lines.append("(not sure: no breed is likely)")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outputs", type=Path, required=True)
    parser.add_argument("--json", help="also write the function's answer to this file")
    parser.add_argument("--image", required=True)
    parser.add_argument("--trace", help="anything: also say where the request's milliseconds went")
    arguments = parser.parse_args()
    image, outputs, request_id = read_photograph(arguments.image), read_outputs(arguments.outputs), uuid.uuid4().hex
    began = time.time()
    body = predict(outputs, image, request_id)
    seconds = time.time() - began
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(body))
    print(table(body))
    if arguments.trace:
        print(trace.follow(outputs, request_id, began, seconds))


if __name__ == "__main__":
    run(main)

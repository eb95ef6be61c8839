"""docs/api.md and its schemas say what the function does."""

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.lambda_function.conftest import EVENTS, FOLDER, Service, call, captured, direct

DOCS = FOLDER.parent / "docs"
SCHEMAS = sorted(path.stem for path in (DOCS / "schemas").glob("*.json"))


def schema(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((DOCS / "schemas" / f"{name}.json").read_text())
    return read


def check(name: str, value: Any) -> None:
    Draft202012Validator(schema(name)).validate(value)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schemas_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize("path", sorted(EVENTS.glob("direct_*.json")), ids=lambda path: path.stem)
def test_direct_events_are_as_the_schema_says(path: Path) -> None:
    check("request", captured(path.stem))


def test_answers_are_as_the_schemas_say(function: ModuleType, endpoint: Service) -> None:
    check("prediction", call(function, direct())[1])
    check("logits", call(function, direct(output="logits"))[1])
    check("error", call(function, {})[1])
    endpoint.refuse(424, "ModelError", OriginalStatusCode=503)
    check("error", call(function, direct())[1])


def test_the_limits_in_the_schema_are_the_function_s(function: ModuleType, endpoint: Service) -> None:
    limits = schema("request")["properties"]
    assert limits["top_k"]["maximum"] == function.MAX_TOP_K
    assert f"{function.MAX_IMAGE_BYTES:,} bytes" in limits["image_base64"]["description"]
    call(function, direct())
    attributes = endpoint.requests[0].headers["X-Amzn-SageMaker-Custom-Attributes"].decode()
    assert f"top_k={limits['top_k']['default']};output={limits['output']['default']}" in attributes


def test_the_page_of_the_contract_has_every_code_and_only_those() -> None:
    sources = "".join(path.read_text() for path in FOLDER.glob("*.py"))
    used = re.findall(r'\b([45]\d\d), "([a-z0-9_]+)"', sources)
    rows = re.findall(r"^\| (\d{3}) \| `([a-z0-9_]+)` \|", (DOCS / "api.md").read_text(), flags=re.MULTILINE)
    assert set(rows) == set(used)


@pytest.mark.parametrize("block", re.findall(r"```json\n(.*?)```", (DOCS / "api.md").read_text(), flags=re.DOTALL))
def test_each_example_of_the_contract_fits_a_schema(block: str) -> None:
    example = json.loads(block)
    names = ["logits"] if isinstance(example, list) else ["request", "prediction", "error"]
    assert [name for name in names if Draft202012Validator(schema(name)).is_valid(example)]

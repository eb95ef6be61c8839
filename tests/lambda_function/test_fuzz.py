"""Whatever an event holds, the answer is a prediction or a refusal with a reason, and both as the schemas say."""

import base64
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.lambda_function.conftest import CONTEXT, EVENTS, JPEG, Service, captured
from tests.lambda_function.test_api import schema

Figure = Callable[[str, object], None]

REQUEST = schema("request")
PICTURE = base64.b64encode(JPEG).decode()

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(PICTURE)
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
)


def values(described: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What the schema of one field allows. The URLs lead nowhere, and what is not base64 is no image."""
    if "enum" in described:
        return st.sampled_from(described["enum"])
    if described["type"] == "integer":
        return st.integers(described["minimum"], described["maximum"])
    if "contentEncoding" in described:
        return st.just(PICTURE) | st.binary(max_size=50).map(lambda image: base64.b64encode(image).decode())
    return st.from_regex(described["pattern"])


FIELDS = {name: values(described) for name, described in REQUEST["properties"].items()}
from_the_schema = st.fixed_dictionaries({}, optional=FIELDS)
beyond_it = st.fixed_dictionaries({}, optional={name: value | anything for name, value in FIELDS.items()})
form = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n%s\r\n\r\n%s\r\n'
part = st.tuples(
    st.sampled_from([*(name.encode() for name in FIELDS), b"image", b'"']),
    st.binary(max_size=20),
    st.binary(max_size=20),
)
bodies = st.one_of(
    (from_the_schema | beyond_it | anything).map(lambda fields: json.dumps(fields).encode()),
    st.lists(part, max_size=4).map(lambda parts: b"".join(form % one for one in parts) + b"--x--\r\n"),
    st.binary(max_size=100),
    st.just(JPEG),
).map(lambda content: base64.b64encode(content).decode())
content_types = st.sampled_from(
    ["application/json", "multipart/form-data; boundary=x", "multipart/form-data", "text/plain", "image/jpeg", ""]
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": content_types | st.text(max_size=20),
        "x-request-id": st.text(max_size=70),
        "origin": st.sampled_from(["https://dogs.example.com", "null"]) | anything,
    },
)
# Events of a function URL with parts exchanged, down to those that its own service would never send.
changes = st.fixed_dictionaries(
    {},
    optional={
        "body": bodies | anything,
        "headers": headers | anything,
        "isBase64Encoded": st.booleans() | anything,
        "queryStringParameters": st.dictionaries(st.sampled_from(["top_k", "output"]), st.text(max_size=5)) | anything,
        "rawPath": st.sampled_from(["/predict", "/health", "/"]) | anything,
        "requestContext": st.fixed_dictionaries(
            {
                "http": st.fixed_dictionaries({"method": st.sampled_from(["GET", "POST", "OPTIONS"]) | anything})
                | anything
            },
            optional={"stage": st.just("$default") | anything},
        )
        | anything,
    },
)
over_http = st.builds(
    lambda name, changed: {**captured(name), **changed},
    st.sampled_from([path.stem for path in EVENTS.glob("*.json") if not path.stem.startswith("direct")]),
    changes,
)


@pytest.mark.counts(sample=250, full=5000)
def test_no_event_is_left_without_a_typed_answer(
    function: ModuleType,
    endpoint: Service,
    bucket: Service,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Figure,
) -> None:
    bucket.refuse(404, "NoSuchKey")
    monkeypatch.setattr(function, "ALLOWED_URL_HOSTS", [])  # a URL is read, and then refused: nothing leaves
    validators = {name: Draft202012Validator(schema(name)) for name in ("error", "prediction", "logits")}
    tried: dict[int, int] = {}

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(event=from_the_schema | beyond_it | over_http | anything)
    def every_event(event: Any) -> None:
        answer = function.handler(event, CONTEXT)
        status = answer["statusCode"]
        tried[status] = tried.get(status, 0) + 1
        json.dumps(answer, allow_nan=False).encode()
        assert status in (200, 204, 400, 404, 405, 413, 415, 422), answer
        if status >= 400:
            validators["error"].validate(json.loads(answer["body"]))
        elif answer["headers"]["Content-Type"] == "application/json" and "predictions" in answer["body"]:
            validators["prediction"].validate(json.loads(answer["body"]))

    every_event()
    record_property("fuzzed events, by status", dict(sorted(tried.items())))
    assert tried[200]
    assert tried[400]

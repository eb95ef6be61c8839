"""Whatever a request says, in body or headers, the answer is a prediction or a refusal that blames the request."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.inference import CSV_TYPE, IMAGE_TYPES, JSON_TYPE
from inference.serve import ATTRIBUTES_HEADER
from tests.inference.attack import Sent, ask, complaints
from tests.inference.hostile import drawn
from tests.inference.process import Server

Figure = Callable[[str, object], None]

PICTURE = base64.b64encode(drawn("JPEG")).decode()
# What may stand in a header line at all; the rest never reaches a handler.
HEADER_TEXT = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=200)

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(PICTURE)
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
)
instances = st.fixed_dictionaries({}, optional={"image_base64": st.just(PICTURE) | anything, "other": anything})
# Near enough to the contract to get past its first lines.
bodies = st.fixed_dictionaries(
    {},
    optional={
        "instances": st.lists(instances, max_size=18) | anything,
        "top_k": st.integers() | st.just(10**400) | anything,
        "output": st.sampled_from(["probabilities", "logits"]) | anything,
    },
)
attributes = st.lists(
    st.tuples(st.sampled_from(["id", "top_k", "output", ""]) | HEADER_TEXT, HEADER_TEXT | st.integers().map(str)),
    max_size=4,
).map(lambda pairs: ";".join(f"{name}={value}" for name, value in pairs))
types = st.sampled_from([*IMAGE_TYPES, JSON_TYPE, f"{JSON_TYPE}; charset=utf-16", CSV_TYPE, "*/*", ""]) | HEADER_TEXT


def holds(count: int, check: Callable[[Any], None], examples: st.SearchStrategy[Any]) -> None:
    """Check `count` examples, the same ones every time."""
    repeatable = settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    repeatable(given(examples)(check))()


@pytest.mark.counts(sample=100, full=3_000)
def test_any_json(service: Server, count: int, record_property: Figure) -> None:
    def check(content: object) -> None:
        body = json.dumps(content).encode()
        assert complaints([ask(service.port, Sent("json", body, {"Content-Type": JSON_TYPE}))]) == []

    holds(count, check, bodies | anything)
    record_property("made-up JSON bodies", f"{count}, none a 5xx")


@pytest.mark.counts(sample=100, full=3_000)
def test_any_bytes_under_any_type(service: Server, count: int, record_property: Figure) -> None:
    def check(request: tuple[bytes, str]) -> None:
        body, content_type = request
        headers = {"Content-Type": content_type.strip()}
        assert complaints([ask(service.port, Sent("bytes", body, headers))]) == []

    holds(count, check, st.tuples(st.binary(max_size=300), types))
    record_property("made-up bodies", f"{count}, none a 5xx")


@pytest.mark.counts(sample=100, full=3_000)
def test_any_attributes_and_any_accepted_type(service: Server, count: int, record_property: Figure) -> None:
    def check(values: tuple[str, str]) -> None:
        headers = {"Content-Type": "image/jpeg", ATTRIBUTES_HEADER: values[0].strip(), "Accept": values[1].strip()}
        answer = ask(service.port, Sent("attributes", drawn("JPEG"), headers))
        # An answer as CSV has no field to be recognised by.
        assert answer.status == 200 or complaints([answer]) == []

    holds(count, check, st.tuples(attributes, types))
    record_property("made-up headers", f"{count}, none a 5xx")

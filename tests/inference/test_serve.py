"""The process as SageMaker meets it: started, pinged, invoked, terminated."""

from collections.abc import Callable
from pathlib import Path

import pytest

from inference.serve import MAX_BODY_BYTES
from tests.inference.process import SECONDS_TO_START, serving


def test_a_whole_life(model_dir: Path, picture: Callable[..., bytes]) -> None:
    with serving(model_dir.parent) as server:
        server.wait_until_ready()
        assert server.request("GET", "/ping") == (
            200,
            {"status": "ready", "model": {"run_id": "run-1", "precision": "fp32"}, "why": "bf16 would lose too much"},
        )

        image, jpeg = picture("red", format="JPEG"), {"Content-Type": "image/jpeg"}
        options = {"X-Amzn-SageMaker-Custom-Attributes": "id=call-7;top_k=2;output=logits;trace=x"}
        status, found = server.request("POST", "/invocations", image, {**jpeg, **options})
        assert status == 200
        assert found["predictions"][0]["top"][0]["label"] == "red"
        assert len(found["predictions"][0]["top"]) == 2
        assert len(found["predictions"][0]["logits"]) == 4
        status, found = server.request("POST", "/invocations", image, {**jpeg, "Accept": "text/csv"})
        assert (status, found.split(",")[0]) == (200, "red")

        refusals = {
            "undecodable_image": (400, b"x", jpeg),
            "unsupported_content_type": (415, b"x", {"Content-Type": "text/plain"}),
            "not_acceptable": (406, image, {**jpeg, "Accept": "image/png"}),
            "bad_request": (400, image, {**jpeg, "X-Amzn-SageMaker-Custom-Attributes": "top_k=many"}),
            "body_too_large": (413, b"x" * (MAX_BODY_BYTES + 1), jpeg),
        }
        for code, (expected, body, headers) in refusals.items():
            status, found = server.request("POST", "/invocations", body, headers)
            assert (status, found["error"]["code"]) == (expected, code)
            assert set(found["error"]) == {"code", "message"}

        assert server.terminate() == 0
    lines = server.log
    assert lines[0] == {
        "event": "ready",
        "model": {"run_id": "run-1", "precision": "fp32"},
        "why": "bf16 would lose too much",
    }
    requests = [line for line in lines if line["event"] == "request"]
    assert requests[0]["id"] == "call-7"
    assert [line["status"] for line in requests] == [200, 200, 400, 415, 406, 400, 413]
    assert server.errors == ""


@pytest.mark.parametrize("damage", ["wrong digest", "no model"])
def test_a_model_that_cannot_be_served_ends_the_process_with_a_sentence(model_dir: Path, damage: str) -> None:
    environment = {}
    if damage == "wrong digest":
        environment["MODEL_MANIFEST_SHA256"] = "0" * 64
    else:
        (model_dir / "model.json").unlink()
    with serving(model_dir.parent, environment) as server:
        assert server.process.wait(timeout=SECONDS_TO_START) == 1
    assert server.errors.startswith("The model cannot be served. ")
    assert server.errors.count("\n") == 1

"""Answer requests by AWS's own Transformer, from the `code/` folder of the artifact in SAGEMAKER_BASE_DIR/model.

A process of its own, so that `inference` is the artifact's. stdin: [{"body" (base64), "content_type", "accept"}];
stdout: [{"status", "body"}].
"""

import base64
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sagemaker_inference import environment
from sagemaker_inference.transformer import Transformer


@dataclass
class Context:
    """What the Transformer uses of TorchServe's context, which is one object for all requests of a worker."""

    model_dir: str
    properties: dict[str, str] = field(default_factory=dict)
    status: int = 200

    @property
    def system_properties(self) -> dict[str, str]:
        return {"model_dir": self.model_dir}

    @property
    def request_processor(self) -> list["Context"]:
        return [self]

    def get_request_properties(self) -> dict[str, str]:
        return self.properties

    def set_response_status(self, code: int, phrase: str = "") -> None:
        self.status = code

    def set_response_content_type(self, index: int, value: str) -> None:
        """The bodies show what they are."""


def answer(transformer: Transformer, context: Context, request: dict[str, Any]) -> dict[str, Any]:
    context.status = 200
    context.properties = {"Accept": request["accept"]}
    if request["content_type"]:
        context.properties["Content-Type"] = request["content_type"]
    (body,) = transformer.transform([{"body": bytearray(base64.b64decode(request["body"]))}], context)
    return {"status": context.status, "body": body}


def main() -> None:
    sys.path.insert(0, environment.code_dir)
    context = Context(environment.model_dir)
    transformer = Transformer()
    transformer.validate_and_initialize(environment.model_dir, context)
    loaded = Path(str(sys.modules["inference"].__file__))
    assert loaded.is_relative_to(environment.code_dir), f"{loaded} is not the artifact's"
    json.dump([answer(transformer, context, request) for request in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()

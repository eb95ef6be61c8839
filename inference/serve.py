"""The serving process: SageMaker's container contract around the four handlers.

    python -m inference.serve                     # serves $SAGEMAKER_BASE_DIR/model on 127.0.0.1:8080

GET /ping answers 503 until the model has answered a warm-up, then 200. POST /invocations answers predictions. A model
that cannot be loaded ends the process with one sentence on stderr, so that the platform reports the endpoint failed.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inference.artifact import ArtifactError
from inference.engine import cpu_count
from inference.inference import (
    Model,
    RequestError,
    bad_request,
    input_fn,
    model_fn,
    output_fn,
    parse_options,
    predict_fn,
)

# InvokeEndpoint's own limit on a request body.
MAX_BODY_BYTES = 6_291_456
ATTRIBUTES_HEADER = "x-amzn-sagemaker-custom-attributes"
MAX_ID_CHARACTERS = 128

logger = logging.getLogger("inference")


class ModelServer:
    """The model, the threads that run it, and the two routes. `failure` is why there is no model, if there is none."""

    def __init__(self, model_dir: Path) -> None:
        self.model_dir = model_dir
        self.model: Model | None = None
        self.failure: ArtifactError | None = None
        self.pool = ThreadPoolExecutor(cpu_count(), thread_name_prefix="model")

    async def load(self) -> None:
        """Load and warm up off the event loop, so that /ping answers meanwhile."""
        loop = asyncio.get_running_loop()
        try:
            model = await loop.run_in_executor(self.pool, model_fn, self.model_dir)
            await loop.run_in_executor(self.pool, warm_up, model)
        except ArtifactError as error:
            self.failure = error
            return
        self.model = model
        log(event="ready", model=model.describe(), why=model.artifact.manifest.precision.why)

    async def ping(self, _: HttpRequest) -> Response:
        """GET /ping: is there a model, and which."""
        if self.model is None:
            return JSONResponse({"status": "loading"}, 503)
        return JSONResponse({"status": "ready", "model": self.model.describe()})

    async def invocations(self, http: HttpRequest) -> Response:
        """POST /invocations: answer, and log one line."""
        started = time.perf_counter()
        attributes = parse_attributes(http.headers.get(ATTRIBUTES_HEADER, ""))
        request_id = attributes.get("id", "")[:MAX_ID_CHARACTERS] or uuid.uuid4().hex
        code = "ok"
        try:
            response = await self.answer(http, attributes)
        except RequestError as error:
            code = error.code
            response = error_response(error)
        except ClientDisconnect:
            code = "client_disconnected"
            response = Response(status_code=400)
        except Exception:
            # The caller learns nothing of our insides; whoever reads the log learns everything.
            logger.exception(json.dumps({"event": "error", "id": request_id}))
            code = "internal"
            response = error_response(RequestError(500, code, f"The model server failed on request {request_id}."))
        milliseconds = round(1000 * (time.perf_counter() - started), 2)
        log(event="request", id=request_id, status=response.status_code, code=code, milliseconds=milliseconds)
        return response

    async def answer(self, http: HttpRequest, attributes: dict[str, str]) -> Response:
        """Read the body and run the handlers on a model thread. Raises RequestError."""
        if self.model is None:
            raise RequestError(503, "loading", "The model is still loading.")
        body = await read_body(http)
        content_type = http.headers.get("content-type", "")
        accept = http.headers.get("accept", "")
        loop = asyncio.get_running_loop()
        text, media_type = await loop.run_in_executor(
            self.pool, run_handlers, self.model, body, content_type, accept, attributes
        )
        return Response(text, media_type=media_type)


def run_handlers(
    model: Model, body: bytes, content_type: str, accept: str, attributes: dict[str, str]
) -> tuple[str, str]:
    """One request through the handlers; options in the header win over those in the body. Raises RequestError."""
    request = replace(input_fn(body, content_type), **attribute_options(attributes))
    return output_fn(predict_fn(request, model), accept)


def warm_up(model: Model) -> None:
    """Answer one picture through every handler: the first inference allocates, and must not be a caller's."""
    picture = BytesIO()
    Image.new("RGB", (model.preprocess.spec.size,) * 2).save(picture, "JPEG")
    run_handlers(model, picture.getvalue(), "image/jpeg", "", {})


async def read_body(http: HttpRequest) -> bytes:
    """Read the body without ever holding more than the limit. Raises RequestError 413."""
    body = bytearray()
    async for chunk in http.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise RequestError(413, "body_too_large", f"The body may have at most {MAX_BODY_BYTES} bytes.")
    return bytes(body)


def parse_attributes(header: str) -> dict[str, str]:
    """Read `id=…;top_k=5;output=logits`. Keys that mean nothing to us pass: the header is the caller's own too."""
    pairs = (part.partition("=") for part in header.split(";") if "=" in part)
    return {key.strip(): value.strip() for key, _, value in pairs}


def attribute_options(attributes: dict[str, str]) -> dict[str, Any]:
    """The attributes that are options of a `Request`. Raises RequestError 400."""
    options: dict[str, Any] = {key: attributes[key] for key in ("top_k", "output") if key in attributes}
    try:
        if "top_k" in options:
            options["top_k"] = int(options["top_k"])
    except ValueError:
        raise bad_request('"top_k" must be a whole number of at least 1.') from None
    return parse_options(options)


def error_response(error: RequestError) -> Response:
    """The one shape in which errors leave."""
    return JSONResponse({"error": {"code": error.code, "message": error.message}}, error.status)


def log(**fields: object) -> None:
    """One JSON line."""
    logger.info(json.dumps(fields))


def create_app(server: ModelServer) -> Starlette:
    """The ASGI application around a server, which is loaded apart from it."""
    return Starlette(
        routes=[
            Route("/ping", server.ping, methods=["GET"]),
            Route("/invocations", server.invocations, methods=["POST"]),
        ]
    )


async def run(model_dir: Path, host: str, port: int) -> int:
    """Serve until SIGTERM, which drains, or until loading fails. Returns the exit status."""
    model_server = ModelServer(model_dir)
    config = uvicorn.Config(create_app(model_server), host=host, port=port, log_level="warning", access_log=False)
    http_server = uvicorn.Server(config)
    serving = asyncio.create_task(http_server.serve())
    await model_server.load()
    if model_server.failure:
        http_server.should_exit = True
    await serving
    if model_server.failure:
        print(f"The model cannot be served. {model_server.failure}", file=sys.stderr)
        return 1
    return 0


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (a container says 0.0.0.0)")
    parser.add_argument("--port", type=int, default=int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")))
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stdout)
    base_dir = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    sys.exit(asyncio.run(run(base_dir / "model", arguments.host, arguments.port)))


if __name__ == "__main__":
    main()
